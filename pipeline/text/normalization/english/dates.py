"""Rules for dates, years, decades and times of day.

A number from 1100 to 2099 without a comma is read as a year, which it nearly always is in prose, unless something is
counted with it.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.words import (
    after,
    before,
    cardinal,
    digits,
    ordinal,
    plural,
    short_year,
    word_set,
    year,
)

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_MONTH = rf"(?:{'|'.join(_MONTHS)}|{'|'.join(month.upper() for month in _MONTHS)})"
_SHORT_MONTHS = {month[:3]: month for month in _MONTHS if month not in ("March", "May")} | {"Sept": "September"}
_SHORT_MONTH = re.compile(rf"\b(?:{'|'.join(_SHORT_MONTHS)})(?= \d)|(?<=\d )(?:{'|'.join(_SHORT_MONTHS)})\b(?!\.)")
_YEAR = r"(?:1\d|20)\d\d"
_YEAR_END = r"(?![\w/]|[.,:]\d|-\d)"

# Old books add a full stop, which is removed before a word, where it would be a pause: the 2d. of April.
_OLD_ORDINAL = re.compile(r"(?<![\w.,:/$£€-])(\d{0,3}(?<!1))([23])d(?:\.(?= [a-z]))?(?![^\W_]|')")
# A word before the month means that no day follows: "in May 3d printers were sold".
_MONTH_BEFORE = re.compile(rf"(\b(?:[Ii]n|[Ss]ince|[Ll]ast|[Tt]his|[Ee]very) )?\b{_MONTH} $")
_THE_BEFORE = re.compile(r"\b(?:the|his|her) $", re.IGNORECASE)
_AFTER_DAY = re.compile(rf" (?:of {_MONTH}|of (?:the|this|next|last) month|day|instant|inst|ultimo|ult)\b")
_NAMED = re.compile(r" [A-Z][a-z]")
# Nouns after an ordinal, not after 3D: the 3d U S Infantry, 2d ed.
_RANKED = re.compile(
    r" (?:[A-Z][\w.]* ){0,2}(?:Corps|Division|Brigade|Regiment|Battalion|Infantry|Cavalry|Artillery|Lieutenant|Circuit|"
    r"Cir|District|Congress)\b| (?:edition|ed\.)"
)


def modern_ordinals(text: str) -> str:
    """Rewrite old American ordinals, 2d and 3d, as 2nd and 3rd. The same characters may mean pence, days or dimensions.

    >>> modern_ordinals("the 22d of April, the 2d. of May, May 3d, the 3d Corps. On the 23d.")
    'the 22nd of April, the 2nd of May, May 3rd, the 3rd Corps. On the 23rd.'
    >>> modern_ordinals("the 3d. seat for 2d, a 3d film, the 3d Mario game, seat 22d, 12d.")
    'the 3d. seat for 2d, a 3d film, the 3d Mario game, seat 22d, 12d.'
    """
    return _OLD_ORDINAL.sub(_modern, text)


def _modern(match: re.Match[str]) -> str:
    text, end, earlier = match.string, match.end(), before(match, 20)
    month, has_article = _MONTH_BEFORE.search(earlier), _THE_BEFORE.search(earlier)
    is_date = bool(month and not month[1]) or (has_article and _AFTER_DAY.match(text, end))
    # 22d is no dimension, but it may be a number of days, or a seat.
    is_rank = (has_article or _NAMED.match(text, end)) if match[1] else _RANKED.match(text, end)
    return match[1] + {"2": "2nd", "3": "3rd"}[match[2]] if is_date or is_rank else match[0]


_ISO_DATE = re.compile(rf"(?<![\w/.-])({_YEAR})-(\d\d?)-(\d\d?)(?![\d/-]|\.\d)(?:T(?=\d))?")
_SLASHED_DATE = re.compile(rf"(?<![\w/.-])(\d\d?)([/.-])(\d\d?)\2({_YEAR}|\d\d)(?![\w/-]|\.\d)")
_WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
# Words before a date. Without them, 3/4 may be a fraction and 1.2.34 a code.
_DATED = re.compile(rf"\b(?:on|dated|born|{_WEEKDAY},?|date:) $", re.IGNORECASE)
_DAY_AND_MONTH = re.compile(
    rf"(\b(?:[Oo]n|[Dd]ated|{_WEEKDAY},?) )(\d\d?)/(\d\d?)"
    r"(?=$|[;:!?)]|[.,](?!\d)| (?:at|and|to|we|he|she|they|I|it|the|in|for|by|when|from|with)\b)"
)
# Regions that write the month first: the United States and their territories, the Philippines. Canada writes both; it
# is treated like tags without a region.
_MONTH_FIRST_REGIONS = word_set("US CA PH PR GU AS VI MP UM FM MH PW")


def is_day_first(language: str) -> bool:
    """Return whether dates have the day first (03/04/1921 is the third of April) in the region of a language tag.

    >>> [is_day_first(language) for language in ("en-GB", "en_AU", "en-Latn-ZA", "en", "en-US")]
    [True, True, True, False, False]
    """
    parts = language.replace("_", "-").upper().split("-")[1:]
    region = next((part for part in parts if re.fullmatch(r"[A-Z]{2}|\d{3}", part)), "US")
    return region not in _MONTH_FIRST_REGIONS


def read_numeric_dates(text: str, day_first: bool = False) -> str:
    """Read dates in digits. The month is first, unless it is above 12 or the separator is a full stop.

    >>> read_numeric_dates("12/25/1999, 25.12.1999, on 3/4")
    'December twenty-fifth, nineteen ninety-nine, December twenty-fifth, nineteen ninety-nine, on March fourth'
    >>> read_numeric_dates("1999-12-25, 99/99/1999")
    'December twenty-fifth, nineteen ninety-nine, 99/99/1999'
    >>> read_numeric_dates("12/5/1999, on 3-4-21, 3/4 of it", day_first=True)
    'the twelfth of May nineteen ninety-nine, on the third of April twenty-one, 3/4 of it'
    """

    def slashed(match: re.Match[str]) -> str:
        first, sign, second, year_digits = match.groups()
        is_short = len(year_digits) == 2 and sign != "/"  # 10-12-14 and 1.2.34 are codes more often than dates
        if is_short and not ((day_first or sign == "-") and _DATED.search(before(match, 12))):
            return match[0]
        is_month_first = not day_first and sign != "." and not (sign == "-" and len(year_digits) == 4)
        return date(match, first, second, year_digits, is_month_first)

    def date(match: re.Match[str], first: str, second: str, year_digits: str, is_month_first: bool) -> str:
        if int(first if is_month_first else second) > 12:  # no month
            is_month_first = not is_month_first
        month, day = (first, second) if is_month_first else (second, first)
        return _say_date(match, month, day, year_digits, day_first)

    text = _ISO_DATE.sub(lambda match: _say_date(match, match[2], match[3], match[1], day_first), text)
    text = _SLASHED_DATE.sub(slashed, text)
    if "/" not in text:
        return text
    return _DAY_AND_MONTH.sub(lambda match: match[1] + date(match, match[2], match[3], "", not day_first), text)


def _say_date(match: re.Match[str], month: str, day: str, year_digits: str, day_first: bool) -> str:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0] if year_digits else f"{match[2]}/{match[3]}"
    spoken_year = ""
    if year_digits:
        spoken_year = year(int(year_digits)) if len(year_digits) == 4 else short_year(year_digits)
    name, gap = _MONTHS[int(month) - 1], " " if after(match, 1).isdigit() else ""
    if day_first:
        return " ".join(filter(None, [f"the {ordinal(int(day))} of {name}", spoken_year])) + gap
    return ", ".join(filter(None, [f"{name} {ordinal(int(day))}", spoken_year])) + gap


_DAY_FIRST = re.compile(
    rf"(?<![\w.,/:$£€-])([Tt]he )?([0-3]?\d)(?:st|nd|rd|th)?(?:-([0-3]?\d)(?:st|nd|rd|th)?)? (?:of )?({_MONTH})\b"
    rf"(?:(,? )({_YEAR}){_YEAR_END})?",
)
_MONTH_FIRST = re.compile(
    rf"\b({_MONTH}),? (the )?([0-3]?\d)(?:st|nd|rd|th)?(?:(?:-| to )([0-3]?\d)(?:st|nd|rd|th)?)?"
    rf"(?![\w/%°:]|[.,:-]\d|,? (?:per ?cent|million|thousand|o'clock)\b)(?:(,? )({_YEAR}){_YEAR_END})?"
)
_HAS_ITS_DAY = re.compile(r"(?:first|second|third|th) of $")
_MONTH_YEAR = re.compile(rf"\b({_MONTH}(?: of)?,?) ({_YEAR}){_YEAR_END}")


def read_dates(text: str) -> str:
    """Read dates with the name of a month.

    >>> read_dates("March 3rd, 1813; 3 March 1813; the 4th of July")
    'March third, eighteen thirteen; the third of March eighteen thirteen; the fourth of July'
    """
    text = _SHORT_MONTH.sub(lambda match: _SHORT_MONTHS[match[0]], text)
    text = _DAY_FIRST.sub(_day_first, text)
    text = _MONTH_FIRST.sub(_month_first, text)
    return _MONTH_YEAR.sub(lambda match: f"{match[1]} {year(int(match[2]))}", text)


def _day_first(match: re.Match[str]) -> str:
    article, first, last, month, comma, year_digits = match.groups()
    if not _is_day(first) or (last and not _is_day(last)):
        return match[0]
    day = ordinal(int(first)) + (f" to the {ordinal(int(last))}" if last else "")
    spoken_year = f"{comma}{year(int(year_digits))}" if year_digits else ""
    return f"{article or 'the '}{day} of {month}{spoken_year}"


def _month_first(match: re.Match[str]) -> str:
    month, article, first, last, comma, year_digits = match.groups()
    if not _is_day(first) or (last and not _is_day(last)) or _HAS_ITS_DAY.search(before(match, 12)):
        return match[0]
    day = ordinal(int(first)) + (f" to {ordinal(int(last))}" if last else "")
    spoken_year = f"{comma}{year(int(year_digits))}" if year_digits else ""
    return f"{month} {article or ''}{day}{spoken_year}"


def _is_day(text: str) -> bool:
    return 1 <= int(text) <= 31


_DECADE = re.compile(r"(?<![\w.,$£€/])(?:'?(\d0)|(1[1-9]\d0|20\d0))('?s)\b(?!')")
_YEAR_RANGE = re.compile(rf"(?<![\w.,/:-])({_YEAR})(?:-| - )('?\d{{1,2}}|{_YEAR})(?![\w/]|[.,:-]\d|'?s\b)")


def read_decades(text: str) -> str:
    """Read decades, with or without their century.

    >>> read_decades("the 1990s, the '90s, his 80s, the mid-1800s, the 2000s")
    'the nineteen nineties, the nineties, his eighties, the mid-eighteen hundreds, the two thousands'
    """
    return _DECADE.sub(lambda match: plural(cardinal(int(match[1])) if match[1] else year(int(match[2]))), text)


def read_year_ranges(text: str) -> str:
    """Read ranges of years; the second year may be short.

    >>> read_year_ranges("1914-18, 1939-1945, 1908-9")
    'nineteen fourteen to eighteen, nineteen thirty-nine to nineteen forty-five, nineteen oh eight to oh nine'
    """
    return _YEAR_RANGE.sub(_year_range, text)


def _year_range(match: re.Match[str]) -> str:
    first, last = match[1], match[2].lstrip("'")
    if len(last) == 1:
        last = first[2] + last
    if len(last) == 2 and int(last) <= int(first[2:]):
        return match[0]
    return f"{year(int(first))} to {year(int(last)) if len(last) == 4 else short_year(last)}"


_BARE_YEAR = re.compile(rf"(?<![\w,/$£€#:-])(?<!\.)({_YEAR}){_YEAR_END}")
_YEAR_PAIR = re.compile(rf"\b([Ff]rom|[Bb]etween) ({_YEAR}) (to|and|until) ({_YEAR}){_YEAR_END}")
_ERA = re.compile(r",? (?:AD|BC|CE|BCE|A D|B C)\b")
_COUNTED = re.compile(
    r" (?:(?:or|more|odd|of the|new|other|young|old|armed|such) )?(?:[a-z]+[^s\W]s|men|women|people|"
    r"children|feet|miles|horse|foot|sheep|cattle|head|acres)\b"
)
_YEAR_BEFORE = re.compile(r"\b(?:(?i:in|since|until|till|during|year|circa|the|early|late)|A\.? ?D) $")
_VERBS = word_set("is was has does its his this us yes as")


def read_years(text: str) -> str:
    """Read single years, and years after "from" or "between".

    >>> read_years("In 1813 he wrote 1234 pages. It rained from 1900 to 1905.")
    'In eighteen thirteen he wrote 1234 pages. It rained from nineteen hundred to nineteen oh five.'
    """
    text = _YEAR_PAIR.sub(lambda match: f"{match[1]} {year(int(match[2]))} {match[3]} {year(int(match[4]))}", text)
    return _BARE_YEAR.sub(_bare_year, text)


def _bare_year(match: re.Match[str]) -> str:
    value = int(match[1])
    has_cue = _YEAR_BEFORE.search(before(match, 12)) or _ERA.match(match.string, match.end())
    counted = _COUNTED.match(match.string, match.end())
    if has_cue or (value >= 1100 and not (counted and counted[0].strip() not in _VERBS)):
        return year(value)
    return match[0]


_HALF_DAY = r" ?([ap])(?:\. ?)?m\b\.?"
_CLOCK = re.compile(rf"(?<![\w:.,/-])(\d\d?):([0-5]\d)(?::([0-5]\d))?(?![\d:]|\.\d)(?:h\b|{_HALF_DAY})?", re.IGNORECASE)
_HOUR = re.compile(rf"(?<![\w:.,/$£€])(\d\d?)(?:\.([0-5]\d))?{_HALF_DAY}", re.IGNORECASE)
_FRENCH_CLOCK = re.compile(r"(?<![\w:.,/-])(\d\d?)h([0-5]\d)(?!\w)")
_HOUR_RANGE = re.compile(
    r"(?<![\w:.,/-])(\d\d?(?::[0-5]\d)?(?: ?[ap]\.?m\.?)?)-(?=\d\d?(?::[0-5]\d| ?[ap]\.?m\b))", re.IGNORECASE
)
_VERSE_OR_RATIO = re.compile(r"(?<![\d:.,])(\d{1,3}):(\d{1,3})(?![\d:])")


def read_times(text: str) -> str:
    """Read times of day, and verses and ratios, which have the same form.

    >>> read_times("3:45 p.m., 15:30, 10am. At 7:05 or 12:00; 00:00")
    "three forty-five p.m., fifteen thirty, ten a.m. At seven oh five or twelve o'clock; midnight"
    >>> read_times("Odds of 16:9; Psalm 119:105")
    'Odds of 16 to 9; Psalm 119 105'
    """
    text = _FRENCH_CLOCK.sub(r"\1:\2", _HOUR_RANGE.sub(r"\1 to ", text))
    text = _CLOCK.sub(_clock, text)
    text = _HOUR.sub(_hour, text)
    return _VERSE_OR_RATIO.sub(_verse_or_ratio, text) if ":" in text else text


def _clock(match: re.Match[str]) -> str:
    hour, minutes, seconds, half = match.groups()
    if int(hour) > 24:
        return match[0]
    spoken = _hour_and_minutes(int(hour), minutes, bool(half), bool(seconds and seconds != "00"))
    if seconds and seconds != "00":
        spoken += f" {'oh ' + digits(seconds[1]) if seconds[0] == '0' else cardinal(int(seconds))}"
    gap = " " if after(match, 1).isalpha() else ""  # 10:00Z
    return f"{spoken} {half.lower()}.m." if half else spoken + gap


def _hour_and_minutes(hour: int, minutes: str, has_half: bool, has_seconds: bool) -> str:
    if minutes != "00":
        minute_words = "oh " + digits(minutes[1]) if minutes[0] == "0" else cardinal(int(minutes))
        return f"{cardinal(hour)} {minute_words}"
    if has_half:
        return cardinal(hour)
    if has_seconds:
        return f"{cardinal(hour)} hundred"
    if hour in (0, 24):
        return "midnight"
    return f"{cardinal(hour)} o'clock" if hour <= 12 else f"{cardinal(hour)} hundred"


def _hour(match: re.Match[str]) -> str:
    hour, minutes, half = match.groups()
    if not 1 <= int(hour) <= 24:
        return match[0]
    return f"{_hour_and_minutes(int(hour), minutes or '00', True, False)} {half.lower()}.m."


def _verse_or_ratio(match: re.Match[str]) -> str:
    is_verse = re.search(r"[A-Z][a-z]+\.? $", before(match, 20))
    return f"{match[1]} {match[2]}" if is_verse else f"{match[1]} to {match[2]}"
