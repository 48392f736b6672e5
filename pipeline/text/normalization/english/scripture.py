"""Rule for references to the Bible: book, chapter, verses."""

from __future__ import annotations

import re

from pipeline.text.normalization.english.words import alternatives, cardinal, roman, word_table

# Names and abbreviations of books. Those in the second table have other meanings, and need a verse.
_BOOKS = {
    short: name
    for name, shorts in word_table(
        "Genesis=Genesis Gn, Exodus=Exodus Exod, Leviticus=Leviticus Levit Lv, Numbers=Numb Nm, "
        "Deuteronomy=Deuteronomy Deut Dt, Joshua=Josh, Judges=Judg Jdg, Samuel=Samuel Sam, Kings=Kings Kgs Kin, "
        "Chronicles=Chronicles Chron Chr, Ezra=Ezr, Nehemiah=Nehemiah Neh, Esther=Esth, Psalm=Psalm Ps Psa, "
        "Psalms=Psalms Pss, Proverbs=Proverbs Prov Prv, Ecclesiastes=Ecclesiastes Eccles Eccl Eccle, "
        "Isaiah=Isaiah Isa, Jeremiah=Jeremiah Jer, Lamentations=Lamentations, Ezekiel=Ezekiel Ezek, Daniel=Dn, "
        "Hosea=Hosea Hos, Obadiah=Obadiah Obad, Nahum=Nahum Nah, Habakkuk=Habakkuk Hab, "
        "Zephaniah=Zephaniah Zeph, Haggai=Haggai Hag, Zechariah=Zechariah Zech, Malachi=Malachi, "
        "Maccabees=Maccabees Macc, Ecclesiasticus=Ecclesiasticus Ecclus, Tobit=Tobit, "
        "Matthew=Matt, Luke=Lk, John=Jn Jno, Romans=Romans Rom, Corinthians=Corinthians Cor, Galatians=Galatians Gal, "
        "Ephesians=Ephesians Eph Ephes, Philippians=Philippians, Colossians=Colossians Coloss, "
        "Thessalonians=Thessalonians Thess Thes, Timothy=Tim, Philemon=Philemon Philem, Hebrews=Hebrews Heb, "
        "James=Jas, Peter=Pet, Revelation=Revelation Revelations, Apocalypse=Apoc"
    ).items()
    for short in shorts.split()
}
_WITH_VERSE = {
    short: name
    for name, shorts in word_table(
        "Genesis=Gen, Exodus=Ex, Leviticus=Lev, Numbers=Numbers Num, Joshua=Joshua, Judges=Judges, Ruth=Ruth, "
        "Ezra=Ezra, Esther=Esther, Job=Job, Song of Solomon=Song Cant, Lamentations=Lam, Daniel=Daniel Dan, "
        "Joel=Joel, Amos=Amos, Jonah=Jonah Jon, Micah=Micah Mic, Philippians=Phil, Tobit=Tob, Ecclesiasticus=Sir, "
        "Malachi=Mal, Wisdom=Wisdom Wisd Wis, Matthew=Matthew Mt, "
        "Mark=Mark Mk, Luke=Luke, John=John, Acts=Acts, Isaiah=Is, Colossians=Col, Timothy=Timothy, Titus=Titus Tit, "
        "James=James, Peter=Peter, Jude=Jude, Revelation=Rev"
    ).items()
    for short in shorts.split()
}
_ALL = _BOOKS | _WITH_VERSE
_NUMBERED = frozenset(
    ["Samuel", "Kings", "Chronicles", "Maccabees", "Corinthians", "Thessalonians", "Timothy", "Peter", "John"]
)
_ALSO_NAMES = frozenset(["Dan", "Jon", "Mal", "Phil", "Is", "Sir", "Mt", "Sam", "Tim", "Pet"])
_RANKS = {"1": "First ", "2": "Second ", "3": "Third ", "I": "First ", "II": "Second ", "III": "Third "}
_CHAPTER = r"(?:\d{1,3}|[ivxlc]{1,8})"
_VERSES = r"\d{1,3}[ab]?(?:-\d{1,3}(?:[:.]\d{1,3})?[ab]?)?"
_MORE = rf"(?:(?:, ?(?!\d{{1,3}} [A-Z])(?!\d{{4}})|; ?(?=\d{{1,3}}:)(?:\d{{1,3}}:)){_VERSES}(?![\w:]))"
_REFERENCE = re.compile(
    rf"(?<![\w.])(?:(I{{1,3}}|[123])(?:st|nd|rd)? )?({alternatives(_ALL)})(\.?) "
    rf"({_CHAPTER})(?:([:.] ?|, (?:vv?\.? )(?=\d))({_VERSES})({_MORE}{{0,20}})(?: ?(ff?)\b)?)?"
    r"(?![\w:-]|\.\d| ?[ap]\.?m\b)"
)
_PARTS = re.compile(r"\d+|[:.;,-]|[ab]")


def read_scripture(text: str) -> str:
    """Read references to the Bible, in digits or with the chapter in lower-case Roman numerals.

    >>> read_scripture("See Rev. 3:20, 1 Cor. 13:4-7, 12, Ps. 23 and Matt. v. 3; but Gen. Lee and Rev. 3")
    'See Revelation three twenty, First Corinthians thirteen four to seven, twelve, Psalm twenty-three and Matthew \
five three; but Gen. Lee and Rev. 3'
    """
    return _REFERENCE.sub(_reference, text)


def _reference(match: re.Match[str]) -> str:
    rank, short, stop, chapter, sign, verses, more, following = match.groups()
    book = _ALL[short]
    value = int(chapter) if chapter.isdigit() else roman(chapter.upper())
    if not value or (rank and book not in _NUMBERED) or (not rank and book in _NUMBERED - {"John"}):
        return match[0]
    if not rank and not stop and short in _ALSO_NAMES:
        return match[0]
    if not verses and not (chapter.isdigit() and (rank or short in _BOOKS)):
        return match[0]
    if verses and ":" not in sign and not (stop or rank):  # "Mark 5.30" may be a time or an amount
        return match[0]
    spoken = f"{_RANKS[rank] if rank else ''}{book} {cardinal(value)}"
    for part in _PARTS.findall(f"{verses or ''}{more or ''}"):
        if part.isdigit():
            spoken += f" {cardinal(int(part))}"
        elif part in ",;-":
            spoken += " to" if part == "-" else part
        elif part in "ab":
            spoken += f" {part}"
    return spoken + (" and following" if following else "")
