"""Owns what is counted in something: money, percentages, temperatures, units of measure, feet and inches.

Numbers that stand alone belong to `numbers`.
"""

from __future__ import annotations

import re

from pipeline.text.normalization.words import (
    NUMBER,
    QUANTITY,
    SENTENCE_OPENERS,
    after,
    before,
    cardinal,
    counted,
    digits,
    ends_sentence,
    number,
    quantity,
    word_table,
)

_ARTICLE_BEFORE = re.compile(r"(?:\ban?|^\W*An?) $")
_NOUN_NEXT = re.compile(rf"(?:-| (?!(?i:{'|'.join(SENTENCE_OPENERS)})\b))[A-Za-z]")


def _has_article(match: re.Match[str]) -> bool:
    """Whether an amount is one thing of its kind, which is said in the singular: a 6 ft wall, a 9mm."""
    return _ARTICLE_BEFORE.search(before(match, 4)) is not None


def _many(match: re.Match[str], one: str, many: str) -> str:
    """How money is counted: a $20 tip, but old books have "a £100 or two" as well."""
    return one if _has_article(match) and _NOUN_NEXT.match(match.string, match.end()) else many


# symbol or prefix -> one, many, one hundredth, hundredths
_MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "US$": ("U S dollar", "U S dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "tn": "trillion"}
_SCALE = r"(?:[ -]?(thousand|million|billion|trillion)\b|(?:(k|m|mn|bn|b|tn)\b(?!')))"
_SYMBOL = r"((?:US|A|C)?\$|[£€¥₹])"

_PENCE = r"(?:\d\d? )?[1-3]/[248]|\d\d?"
_POUNDS_AND_COINS = re.compile(rf"£ ?({NUMBER}) (\d\d?)s\.?(?: ({_PENCE})d\b\.?)?(?!\w)")
_SHILLINGS_AND_PENCE = re.compile(rf"(?<![\w.,])(\d\d?)s\.? ({_PENCE})d\b\.?")
_COIN = re.compile(rf"(?<![\w.,'/$£€-])(?:([1-9]\d?)s|({_PENCE})d)\.(?![\w.])")
# 20s. and 3d. are nearly always a plural and a dimension today, so it takes more to make coins of them: a price that is
# named, or a sentence that goes on behind the full stop, which then stands for letters left out.
_PRICED = re.compile(
    r"\b(?:(?:costs?|pa(?:id|ys?)|owe[sd]?|charge[sd]?)(?: (?:me|you|him|her|us|them|only))?|worth|"
    r"(?:bought|sold)\b[\w ]{0,24} for) $"
)
_GOES_ON = re.compile(r"\)?[,;]|\)? [a-z]")
_NO_PRICE = re.compile(r"\b(?:in|on the|figures?|tables?|seat|flat|room|apartment) $", re.IGNORECASE)
_DECADE = re.compile(
    r"\b(?:in|the|early|mid|late|low|high|upper|my|your|his|her|our|their|roaring|swinging) $", re.IGNORECASE
)
_MONEY_BEFORE = re.compile(
    rf"(?<!\w)(-)?{_SYMBOL} ?(-?)({QUANTITY}|\.\d{{1,3}})(?:-(?:[$£€¥₹])?({NUMBER})(?!,?\d))?{_SCALE}?"
    r"( ?-?(?:note|bill|coin)\b)?(?![^\W_])",
    re.IGNORECASE,
)
_MONEY_AFTER = re.compile(rf"(?<![\w.,])({NUMBER}) ?([$£€¥₹])(?!\w)")
_CENTS = re.compile(rf"(?<![\w.,])(?:({NUMBER}) ?¢|(\d\d?)p(?![\w.'-]))")
_OLD_POUNDS = re.compile(rf"(?<![\w.,])({NUMBER}) l\.(?!\w)")  # as novels of the time print it: 10,000 l. a year
_PER = re.compile(
    r"\b(dollars?|cents?|pounds?|pence|euros?) ?/ ?(hour|day|week|month|year|head|person|lb|kg|oz|km)\b\.?"
)


def read_money(text: str) -> str:
    """Amounts of money, old and new, before or after their sign.

    >>> read_money("$5.50, £3 10s., €1.2 million, US$1, 50¢")
    'five dollars and fifty cents, three pounds ten shillings, one point two million euros, one U S dollar, fifty cents'
    >>> read_money("2s. 6d. for it, 5s. a week; in his 20s.")
    'two shillings and six pence for it, five shillings a week; in his 20s.'
    >>> read_money("$5-10, £0.99, -$5, 5 €")
    'five to ten dollars, ninety-nine pence, minus five dollars, five euros'
    """
    text = _POUNDS_AND_COINS.sub(_pounds_and_coins, text)
    text = _OLD_POUNDS.sub(r"£\1", text)
    text = _SHILLINGS_AND_PENCE.sub(lambda match: _old_coins(match, match[1], match[2]), text)
    text = _COIN.sub(_coin, text)
    text = _MONEY_BEFORE.sub(_money, text)
    text = _MONEY_AFTER.sub(lambda match: _say_money(match[1], _MONEY[match[2]]), text)
    return _PER.sub(lambda match: f"{match[1]} per {_UNITS.get(match[2], match[2])}", _CENTS.sub(_cents, text))


def _pounds_and_coins(match: re.Match[str]) -> str:
    pounds = counted(match[1], "pound", _many(match, "pound", "pounds"))
    return f"{pounds} {_old_coins(match, match[2], match[3])}"


def _coin(match: re.Match[str]) -> str:
    earlier = before(match, 40)
    is_other = (_NO_PRICE if match[2] else _DECADE).search(earlier)
    goes_on = _GOES_ON.match(match.string, match.end()) and not is_other
    is_coin = goes_on or _PRICED.search(earlier) or "/" in (match[2] or "")
    return _old_coins(match, match[1], match[2]) if is_coin else match[0]


def _old_coins(match: re.Match[str], shillings: str | None, pence: str | None) -> str:
    """What a match of coins says, with the full stop of its sentence."""
    coins = [counted(shillings, "shilling", _many(match, "shilling", "shillings"))] if shillings else []
    coins += [counted(pence, "penny", "pence")] if pence else []
    keeps_stop = match[0].endswith(".") and ends_sentence(after(match, 60), any_capital=True)
    return " and ".join(coins) + ("." if keeps_stop else "")


def _money(match: re.Match[str]) -> str:
    minus, symbol, inner_minus, amount, last, scale_word, scale_letter, paper = match.groups()
    one, many, hundredth, hundredths = _MONEY[symbol.upper()]
    many = _many(match, one, many)
    hundredths = _many(match, hundredth, hundredths) if hundredths != "pence" else hundredths
    scale = (scale_word or _SCALES.get((scale_letter or "").lower(), "")).lower()
    sign = "minus " if minus or inner_minus else ""
    if last:
        spoken = f"{quantity(amount)} to {quantity(last)}{' ' + scale if scale else ''} {many}"
    elif paper:
        spoken = f"{quantity(amount)}{' ' + scale if scale else ''} {one}"
    elif scale:
        spoken = f"{quantity(amount)} {scale} {many}"
    else:
        spoken = _say_money(amount, (one, many, hundredth, hundredths))
    return f"{sign}{spoken}{' ' + paper.lstrip(' -') if paper else ''}"


def _say_money(amount: str, currency: tuple[str, str, str, str]) -> str:
    one, many, hundredth, hundredths = currency
    whole, _, decimals = amount.partition(".")
    if "/" in amount:
        return f"{quantity(amount)} {many}" if " " in amount or "-" in amount else f"{quantity(amount)} of a {one}"
    if not decimals:
        return counted(amount, one, many)
    if len(decimals) != 2:
        return f"{number(whole or '0')} point {digits(decimals)} {many}"
    main = counted(whole, one, many) if whole.strip("0") else ""
    small = f"{cardinal(int(decimals))} {hundredth if decimals == '01' else hundredths}" if decimals != "00" else ""
    return " and ".join(part for part in (main, small) if part) or f"zero {many}"


def _cents(match: re.Match[str]) -> str:
    if match[1]:
        return counted(match[1], "cent", _many(match, "cent", "cents"))
    return counted(match[2], "penny", "pence")


_PERCENT = re.compile(rf"(?<![\w.,/])({QUANTITY}) ?(%|°)(?: ?([CF])\b)?")
_SCALE_NAMES = {"C": " Celsius", "F": " Fahrenheit", None: ""}


def read_percents_and_degrees(text: str) -> str:
    """Percentages, angles, temperatures.

    >>> read_percents_and_degrees("0.5%, 20 °C, 1°, 5 1/2 %")
    'zero point five percent, twenty degrees Celsius, one degree, five and a half percent'
    """
    return _PERCENT.sub(_percent, text)


def _percent(match: re.Match[str]) -> str:
    amount, sign, scale = match.groups()
    if sign == "%":
        return f"{quantity(amount)} percent" + (f" {scale}" if scale else "")
    is_adjective = _has_article(match) or after(match, 6) in (" angle", " turn", "-angle")
    return counted(amount, "degree", "degree" if is_adjective else "degrees") + _SCALE_NAMES[scale]


# The plural is made by rule. What is also a word or a letter counts only right behind the number: the second table.
_UNITS = word_table(
    "km=kilometer, cm=centimeter, mm=millimeter, nm=nanometer, mi=mile, yd=yard, yds=yard, ft=foot, kg=kilogram, "
    "mg=milligram, lb=pound, lbs=pound, oz=ounce, ml=milliliter, mL=milliliter, cl=centiliter, gal=gallon, "
    "pt=pint, qt=quart, Hz=hertz, kHz=kilohertz, MHz=megahertz, GHz=gigahertz, kW=kilowatt, MW=megawatt, "
    "GW=gigawatt, kWh=kilowatt hour, mph=mile per hour, kph=kilometer per hour, km/h=kilometer per hour, "
    "m/s=meter per second, KB=kilobyte, kB=kilobyte, MB=megabyte, GB=gigabyte, TB=terabyte, min=minute, "
    "mins=minute, hr=hour, hrs=hour, sec=second, secs=second, ms=millisecond, dB=decibel, ha=hectare, "
    "sq ft=square foot, m=meter, g=gram, kbps=kilobit per second, Mbps=megabit per second, "
    "rpm=revolution per minute, fps=frame per second, psi=pound per square inch, kcal=kilocalorie, kV=kilovolt"
)
_ATTACHED_UNITS = word_table("in=inch, h=hour, l=liter, L=liter, W=watt, V=volt, s=second")
_PLURALS = {"foot": "feet", "inch": "inches", "hertz": "hertz", "kilohertz": "kilohertz", "megahertz": "megahertz"}
_PLURALS |= {"gigahertz": "gigahertz", "square foot": "square feet"}
_ANY_UNIT = "|".join(sorted((re.escape(unit) for unit in _UNITS), key=len, reverse=True))
_UNIT = re.compile(
    rf"(?<![\w.,/])(?P<amount>{QUANTITY})(?:(?P<gap>[ -]?)(?P<unit>{_ANY_UNIT})(?:\^?(?P<power>[23]))?"
    r"|(?P<attached>in|h|l|L|W|V|(?<=\.\d)s|(?<=\.\d\d)s)"
    r"| (?P<inch>in)(?=\. (?:of|long|wide|high|deep|tall|thick)\b))(?![\w/'])(?P<stop>\.(?!\w))?"
)
_POWERS = {"2": "square ", "3": "cubic ", None: ""}


def read_units(text: str) -> str:
    """Measures, in the singular for one, before a hyphenated noun and after an article.

    >>> read_units("5 km, 1 kg, a 10-ft pole, a 6 ft wall, 3 m^2")
    'five kilometers, one kilogram, a ten foot pole, a six foot wall, three square meters'
    >>> read_units("60 mph, 1/2 mi, 12 oz. of tea. It has 5 lb.")
    'sixty miles per hour, one half of a mile, twelve ounces of tea. It has five pounds.'
    """
    return _UNIT.sub(_unit, text)


def _unit(match: re.Match[str]) -> str:
    amount = match["amount"]
    one = _POWERS[match["power"]] + (_UNITS.get(match["unit"]) or _ATTACHED_UNITS[match["attached"] or match["inch"]])
    if "/" in amount and " " not in amount and "-" not in amount:
        spoken = f"{quantity(amount)} of {'an' if one[0] in 'aeiou' else 'a'} {one}"
    else:
        is_adjective = match["gap"] == "-" or _has_article(match)
        spoken = counted(amount, one, one if is_adjective else _plural_unit(one))
    keeps_stop = match["stop"] and ends_sentence(after(match, 60), any_capital=True)
    return spoken + ("." if keeps_stop else "")


def _plural_unit(one: str) -> str:
    head, per, rest = one.partition(" per ")
    for name, many in _PLURALS.items():
        if head == name or head.endswith(" " + name):
            return head[: len(head) - len(name)] + many + per + rest
    return f"{head}s{per}{rest}"


_FEET_AND_INCHES = re.compile(r"(?<![\w.,'])(\d\d?)' ?(\d\d?)(?:\"|''|(?![\w%]|[.,/]\d|'\w))")
_FT_AND_IN = re.compile(r"(?<![\w.,'])(\d\d?) ?ft\.? (\d\d?) ?in(?:ch(?:es)?)?\b(\.(?!\w))?")
_FEET = re.compile(r"(?<![\w.,'])(\d{1,4})'(?= (?:tall|long|wide|high|deep)\b)")


def read_feet_and_inches(text: str) -> str:
    """Heights and lengths in feet and inches.

    >>> read_feet_and_inches("a man of 6'2, a girl of 5 ft. 1 in. and a wall 12' high")
    'a man of six feet two inches, a girl of five feet one inch and a wall twelve feet high'
    """
    text = _FT_AND_IN.sub(_feet_and_inches, _FEET_AND_INCHES.sub(_feet_and_inches, text))
    return _FEET.sub(lambda match: counted(match[1], "foot", "foot" if _has_article(match) else "feet"), text)


def _feet_and_inches(match: re.Match[str]) -> str:
    feet, inches = ("foot", "inch") if _has_article(match) else ("feet", "inches")
    spoken = f"{counted(match[1], 'foot', feet)} {counted(match[2], 'inch', inches)}"
    keeps_stop = match[0].endswith(".") and ends_sentence(after(match, 60), any_capital=True)
    return spoken + ("." if keeps_stop else "")
