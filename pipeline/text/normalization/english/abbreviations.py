"""Rules for abbreviations with a full stop: titles, streets, months, references. `initials` has single letters.

An abbreviation at the end of a sentence keeps its full stop. One that is also a word ("no.", "fig.", "sun.") is
expanded only before a number or a name.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.english.words import (
    SENTENCE_OPENERS,
    after,
    before,
    ends_sentence,
    word_set,
    word_table,
)

# Expanded in every context.
ALWAYS = word_table(
    "Mr=Mister, Mrs=Missus, Ms=Miz, Messrs=Messieurs, Mme=Madame, Mlle=Mademoiselle, Prof=Professor, Capt=Captain, "
    "Lt=Lieutenant, Sgt=Sergeant, Cpl=Corporal, Cmdr=Commander, Rev=Reverend, Esq=Esquire, Jr=Junior, "
    "Lieut=Lieutenant, Revd=Reverend, Bro=Brother, Abp=Archbishop, Edw=Edward, Jos=Joseph, Benj=Benjamin, "
    "Supt=Superintendent, Wm=William, Chas=Charles, Thos=Thomas, Jas=James, Robt=Robert, Ave=Avenue, "
    "Blvd=Boulevard, Rd=Road, Mt=Mount, Ste=Sainte, Bros=Brothers, Inc=Incorporated, Co=Company, Ltd=Limited, "
    "Corp=Corporation, Dept=Department, Univ=University, dept=department, govt=government, Govt=Government, "
    "etc=et cetera, vs=versus, viz=namely, cf=compare, Cf=Compare, approx=approximately, Approx=Approximately, "
    "ibid=ibidem, Ibid=Ibidem, Vols=Volumes, vols=volumes, incl=including, Assn=Association, ult=ultimo, "
    "inst=instant, prox=proximo, MSS=manuscripts, Mss=manuscripts, mss=manuscripts, "
    "Drs=Doctors, Profs=Professors, Capts=Captains, Lts=Lieutenants, Sgts=Sergeants, Cpls=Corporals, Mmes=Mesdames, "
    "Esqs=Esquires, Depts=Departments, depts=departments, Govts=Governments, govts=governments, Aves=Avenues, "
    "Blvds=Boulevards, Mts=Mountains"
)
# Expanded only before a name, i.e. a capital letter.
_BEFORE_NAME = word_table(
    "Gen=General, Col=Colonel, Maj=Major, Adm=Admiral, Gov=Governor, Sen=Senator, Rep=Representative, "
    "Pres=President, Hon=Honorable, Rt=Right, Fr=Father, Pvt=Private, Insp=Inspector, Ft=Fort, Geo=George, "
    "Gens=Generals, Cols=Colonels, Majs=Majors, Adms=Admirals, Govs=Governors, Sens=Senators, Reps=Representatives, "
    "Revs=Reverends, Frs=Fathers, Pvts=Privates, Sts=Saints"
)
# Expanded only before a number in digits or Roman numerals.
_BEFORE_NUMBER = word_table(
    "no=number, nos=numbers, vol=volume, ch=chapter, chap=chapter, chs=chapters, fig=figure, figs=figures, p=page, "
    "pp=pages, sec=section, art=article, pt=part, bk=book, op=opus, ed=edition, est=established, ext=extension, "
    "tel=telephone, c=circa, ca=circa, eq=equation, b=born, d=died, "
    "fl=flourished, app=appendix, nr=number, v=verse, vv=verses, vs=verse, par=paragraph, para=paragraph, "
    "cl=clause, ll=lines, fol=folio, sect=section, parag=paragraph, sc=scene, "
    "chaps=chapters, eqs=equations, paras=paragraphs, bks=books, fols=folios, sects=sections, cls=clauses"
)
_MONTHS = word_table(
    "Jan=January, Feb=February, Mar=March, Apr=April, Jun=June, Jul=July, Aug=August, Sept=September, "
    "Sep=September, Oct=October, Nov=November, Dec=December"
)
_DAYS = word_table(
    "Mon=Monday, Tue=Tuesday, Tues=Tuesday, Wed=Wednesday, Thu=Thursday, Thur=Thursday, Thurs=Thursday, "
    "Fri=Friday, Sat=Saturday, Sun=Sunday"
)
_DOTTED = re.compile(r"\b(?<!\.)(?<!\w')([A-Za-z]{1,6})\.(?![^\W\d])")
_NUMBER_NEXT = re.compile(r" ?(?:\d|#\d)| (?:[IVXLCDM]{2,}|[VXivx]{1,5}|I(?= ?[.,;:)]|$))\b(?!')")
_I_SAY = re.compile(r" I(?: ?,|\.\.)")
_NAME_NEXT = re.compile(r" [\"']?([A-Z][A-Za-z]*)")
_DATE_NEXT = re.compile(
    rf",? (?:\d{{1,2}}(?:st|nd|rd|th)?\b|(?:{'|'.join(_MONTHS)})[a-z]{{0,6}}\b)| (?:night|morning|afternoon|evening)\b"
)
_TITLES = word_set(
    "Mr Mrs Ms Messrs Mme Mlle Prof Capt Lt Sgt Cpl Cmdr Rev Wm Chas Thos Jas Robt Mt Ste cf Cf Lieut Revd"
)


def expand_abbreviations(text: str) -> str:
    """Expand abbreviations of one word.

    >>> expand_abbreviations("Mr. and Mrs. Bennet met Capt. Wm. Ray, vol. 3, No. 5, etc.")
    'Mister and Missus Bennet met Captain William Ray, volume 3, Number 5, et cetera.'
    >>> expand_abbreviations("He said no. Then Gen. Lee left on Jan. 5. MR. DARCY")
    'He said no. Then General Lee left on January 5. MISTER DARCY'
    """
    return _DOTTED.sub(_abbreviation, text)


def _abbreviation(match: re.Match[str]) -> str:
    short, rest = match[1], after(match, 60)
    if len(short) > 1 and short.isupper() and short.capitalize() in _TITLES and not _is_manuscript(short, rest):
        return ALWAYS[short.capitalize()].upper() + ("" if rest else ".")
    full = _in_company(short, match) or ALWAYS.get(short) or _by_context(short, before(match, 6), rest)
    if full is None:
        return match[0]
    is_end = not rest.strip("\"')]}*_ ") if short in _TITLES else ends_sentence(rest, any_capital=short == "etc")
    return full + ("." if is_end else " " if rest[:1].isdigit() else "")


_SENIOR_BEFORE = re.compile(r"(?:\b[A-Z][\w'.]*,?|\bI{1,3}) $")


def _in_company(short: str, match: re.Match[str]) -> str | None:
    """Expand abbreviations whose meaning depends on a name before or after them."""
    rest = after(match, 60)
    if short in ("MS", "ms", "Ms") and _is_manuscript(short, rest):
        return "manuscript" if not before(match, 2).rstrip()[-1:].isdigit() else None
    if short == "Sts":
        return "Streets" if _PLACE_BEFORE.search(before(match, 20)) and not _NAME_NEXT.match(rest) else None
    if short != "Sr":
        return None
    name = _NAME_NEXT.match(rest)
    is_person = name is not None and name[1] not in SENTENCE_OPENERS
    return "Sister" if is_person and not _SENIOR_BEFORE.search(before(match, 30)) else "Senior"


def _is_manuscript(short: str, rest: str) -> bool:
    """Return whether "MS." means manuscript; in MS. SMITH and Ms. Smith it is a title."""
    if short == "MS":
        return re.match(r" [A-Z]{2}", rest) is None
    return short in ("ms", "Ms") and re.match(r" ?[\"'(]?[A-Z]", rest) is None


def _by_context(short: str, earlier: str, rest: str) -> str | None:
    name = _NAME_NEXT.match(rest)
    if short in _BEFORE_NAME and name and name[1] not in SENTENCE_OPENERS:
        return _BEFORE_NAME[short]
    if short in _MONTHS and (re.match(r",? ?\d", rest) or re.search(r"\d(?:st|nd|rd|th)? $", earlier)):
        return _MONTHS[short]
    if short in _DAYS and _DATE_NEXT.match(rest):
        return _DAYS[short]
    if short == "v" and re.match(r" ?\d+\.\d", rest):  # a version
        return None
    is_unit = short in ("sec", "pt", "d") and earlier.rstrip()[-1:].isdigit()  # "5 sec. 3", "6d. 5"
    is_initial = len(short) == 1 and short.isupper()
    is_answer = short == "no" or (short == "No" and not earlier[-2:-1].isalnum())  # "No. I, for one, did not"
    is_word = is_unit or is_initial or (is_answer and _I_SAY.match(rest))
    if short.lower() in _BEFORE_NUMBER and _NUMBER_NEXT.match(rest) and not is_word:
        full = _BEFORE_NUMBER[short.lower()]
        return full.capitalize() if short[0].isupper() else full
    return None


_SAINT_OR_STREET = re.compile(r"(St|Dr|ST|DR)(?<![\w.]..)\b(\.?)(?!\w|'(?!s\b)|\.\w)")
_PLACE_BEFORE = re.compile(rf"(?:\b(?!(?:{'|'.join(SENTENCE_OPENERS)}) )[A-Z][a-z']+|\d(?:st|nd|rd|th)) $")


def read_saints_and_streets(text: str) -> str:
    """Expand St. to saint or street, and Dr. to doctor or drive.

    >>> read_saints_and_streets("St. James St. is near Oak Dr., said Dr. Grant of St Ives.")
    'Saint James Street is near Oak Drive, said Doctor Grant of Saint Ives.'
    """
    return _SAINT_OR_STREET.sub(_saint_or_street, text)


def _saint_or_street(match: re.Match[str]) -> str:
    short, dot, rest = match[1], match[2], after(match, 60)
    place_before = _PLACE_BEFORE.search(before(match, 20))
    name = _NAME_NEXT.match(rest)
    is_person = name is not None and (not place_before or name[1] not in SENTENCE_OPENERS)
    if short.isupper():
        return {"ST": "SAINT", "DR": "DOCTOR"}[short] if is_person and dot else match[0]
    if is_person or not place_before:
        if not dot and not is_person:
            return match[0]
        keeps_dot = dot and not is_person and ends_sentence(rest)
        return {"St": "Saint", "Dr": "Doctor"}[short] + ("." if keeps_dot else "")
    return {"St": "Street", "Dr": "Drive"}[short] + ("." if dot and ends_sentence(rest) else "")
