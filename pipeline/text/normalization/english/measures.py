"""Rules for numbers with units: percentages, temperatures, angles, durations, units of measure, feet and inches."""

from __future__ import annotations

import re

from pipeline.text.normalization.english.words import (
    NUMBER,
    QUANTITY,
    after,
    alternatives,
    before,
    counted,
    ends_sentence,
    has_article,
    quantity,
    word_table,
)

_PERCENT = re.compile(rf"(?<![\w.,])(?<!\d/)({QUANTITY}) ?(%|‰|°)(?: ?([CF])\b)?")
_SCALE_NAMES = {"C": " Celsius", "F": " Fahrenheit", None: ""}
_COMPASS = {"N": "north", "S": "south", "E": "east", "W": "west"}
_COORDINATE = re.compile(
    r"(?<![\w.,/])(?:([NSEW]) ?)?(\d{1,3}(?:\.\d{1,9})?) ?°(?: ?(\d\d?(?:\.\d{1,9})?)')?"
    r"(?: ?(\d\d?(?:\.\d{1,9})?)(?:\"|''))?(?: ?([NSEW])\b(?!'))?"
)


def read_angles(text: str) -> str:
    r"""Read angles with minutes or a point of the compass.

    >>> read_angles("40° 26' 46\" N, 74.5° W")
    'forty degrees twenty-six minutes forty-six seconds north, seventy-four point five degrees west'
    """
    return _COORDINATE.sub(_angle, text) if "°" in text else text


def _angle(match: re.Match[str]) -> str:
    ahead, degrees, minutes, seconds, behind = match.groups()
    if not (ahead or minutes or seconds or behind):
        return match[0]
    spoken = [_COMPASS[ahead]] if ahead else []
    spoken.append(counted(degrees, "degree", "degrees"))
    spoken += [counted(minutes.lstrip("0") or "0", "minute", "minutes")] if minutes else []
    spoken += [counted(seconds.lstrip("0") or "0", "second", "seconds")] if seconds else []
    return " ".join([*spoken, _COMPASS[behind]] if behind else spoken)


def read_percents_and_degrees(text: str) -> str:
    """Read percentages, angles and temperatures.

    >>> read_percents_and_degrees("0.5%, 20 °C, 1°, 5 1/2 %, 3‰")
    'zero point five percent, twenty degrees Celsius, one degree, five and a half percent, three per mille'
    """
    return _PERCENT.sub(_percent, text)


def _percent(match: re.Match[str]) -> str:
    amount, sign, scale = match.groups()
    if sign != "°":
        return f"{quantity(amount)} {'percent' if sign == '%' else 'per mille'}" + (f" {scale}" if scale else "")
    is_adjective = has_article(match) or after(match, 6) in (" angle", " turn", "-angle")
    return counted(amount, "degree", "degree" if is_adjective else "degrees") + _SCALE_NAMES[scale]


_DURATION = re.compile(
    r"(?<![\w.,/:$£€-])(?=\d)(?:(\d{1,4}) ?(?:d|days?)\.?,? ?)?(?:(\d{1,4}) ?(?:h|hrs?|hours?)\.?,? ?)?"
    r"(?:(\d{1,2}) ?(?:m|min|mins|minutes?)\.?,? ?)?(?:(\d{1,2}(?:\.\d{1,3})?) ?(?:s|secs?|seconds?))?(?![\w'/²³^])"
)
_TOOK = re.compile(
    r"\b(?:took|takes?|lasts?|lasted|runs?|ran|duration|length|runtime|time|record)(?: (?:of|is|was|in|for))?:? $|"
    r"\b(?:in|of) a time of $",
    re.IGNORECASE,
)
_STOPWATCH = re.compile(r"(?<![\w:.,/-])(\d{1,2}):([0-5]\d):([0-5]\d)(?:\.(\d{1,3}))?(?![\w:]|\.\d| ?[ap]\.?m\b)")
_UNITS_OF_TIME = ("day", "hour", "minute", "second")


def read_durations(text: str) -> str:
    """Read durations of several units; m means minutes beside hours or seconds.

    >>> read_durations("It took 1h 30m, 2h 05m 10s, 2 h 5 min, or 5m 30s; a 30m wall.")
    'It took one hour thirty minutes, two hours five minutes ten seconds, two hours five minutes, \
or five minutes thirty seconds; a 30m wall.'
    >>> read_durations("It took 1:30:05 and began at 1:30:05.")
    'It took one hour thirty minutes five seconds and began at 1:30:05.'
    """
    if ":" in text:
        text = _STOPWATCH.sub(_stopwatch, text)
    return _DURATION.sub(_duration, text)


def _stopwatch(match: re.Match[str]) -> str:
    if not _TOOK.search(before(match, 30)):
        return match[0]
    hours, minutes, seconds, parts = match.groups()
    return _say_duration([None, hours, minutes, seconds + (f".{parts}" if parts else "")])


def _duration(match: re.Match[str]) -> str:
    if sum(group is not None for group in match.groups()) < 2:
        return match[0]
    core = match[0].rstrip(" ,.")
    trailing, end = match[0][len(core) :], match.start() + len(core)
    if trailing.startswith(".") and not ends_sentence(match.string[end + 1 : end + 61], any_capital=True):
        trailing = trailing[1:]
    return _say_duration(match.groups()) + trailing


def _say_duration(amounts: list[str | None] | tuple[str | None, ...]) -> str:
    parts = []
    for amount, unit in zip(amounts, _UNITS_OF_TIME, strict=True):
        if amount and amount.strip("0."):
            amount = amount.lstrip("0")
            parts.append(counted(f"0{amount}" if amount.startswith(".") else amount, unit, unit + "s"))
    return " ".join(parts) or "zero seconds"


# In the singular; `_plural_unit` forms the plural.
UNITS = word_table(
    "km=kilometer, kms=kilometer, cm=centimeter, cms=centimeter, mm=millimeter, μm=micrometer, nm=nanometer, "
    "mi=mile, yd=yard, yds=yard, ft=foot, kg=kilogram, kgs=kilogram, gm=gram, gms=gram, mg=milligram, μg=microgram, "
    "mcg=microgram, lb=pound, lbs=pound, oz=ounce, ozs=ounce, ml=milliliter, hl=hectoliter, mL=milliliter, "
    "cl=centiliter, dl=deciliter, dL=deciliter, gal=gallon, gals=gallon, pt=pint, qt=quart, qts=quart, "
    "mls=milliliter, tbsp=tablespoon, tbsps=tablespoon, tbs=tablespoon, Tbsp=tablespoon, tsp=teaspoon, "
    "tsps=teaspoon, Hz=hertz, kHz=kilohertz, MHz=megahertz, GHz=gigahertz, kW=kilowatt, MW=megawatt, GW=gigawatt, "
    "mW=milliwatt, kWh=kilowatt hour, MWh=megawatt hour, Wh=watt hour, mAh=milliampere hour, Ah=ampere hour, "
    "mph=mile per hour, kph=kilometer per hour, KB=kilobyte, kB=kilobyte, MB=megabyte, GB=gigabyte, GBs=gigabyte, "
    "MBs=megabyte, TB=terabyte, PB=petabyte, KiB=kibibyte, MiB=mebibyte, GiB=gibibyte, Mb=megabit, Gb=gigabit, "
    "min=minute, mins=minute, hr=hour, hrs=hour, sec=second, secs=second, ms=millisecond, μs=microsecond, "
    "ns=nanosecond, yr=year, yrs=year, wk=week, wks=week, mos=month, dB=decibel, ha=hectare, sq ft=square foot, "
    "sq m=square meter, sq km=square kilometer, sq mi=square mile, sq in=square inch, cu ft=cubic foot, "
    "cu m=cubic meter, cu in=cubic inch, fl oz=fluid ounce, ft lb=foot pound, ft-lb=foot pound, ft-lbs=foot pound, "
    "ft lbs=foot pound, kn=knot, st=stone, doz=dozen, μl=microliter, μL=microliter, lb-ft=pound foot, m=meter, "
    "g=gram, kbps=kilobit per second, Mbps=megabit per second, Gbps=gigabit per second, rpm=revolution per minute, "
    "bpm=beat per minute, fps=frame per second, mpg=mile per gallon, psi=pound per square inch, "
    "ppm=part per million, ppb=part per billion, kcal=kilocalorie, kJ=kilojoule, MJ=megajoule, kV=kilovolt, "
    "mV=millivolt, mA=milliampere, kN=kilonewton, Nm=newton meter, Pa=pascal, kPa=kilopascal, MPa=megapascal, "
    "hPa=hectopascal, mbar=millibar, mmHg=millimeter of mercury, eV=electronvolt, keV=kiloelectronvolt, "
    "MeV=megaelectronvolt, GeV=gigaelectronvolt, mol=mole, mmol=millimole, Ω=ohm, kΩ=kiloohm, MΩ=megaohm, px=pixel, "
    "dpi=dot per inch, cc=cubic centimeter, cwt=hundredweight, h=hour, L=liter, l=liter, W=watt, V=volt, s=second, "
    "K=kelvin, J=joule, N=newton, t=tonne"
)
# Letters with other meanings, see `_is_unit`.
_SPACED_ONLY = frozenset("KJNt")
_NOT_BEFORE_CAPITAL = frozenset("KJNVWL")
_ATTACHED_UNITS = word_table("in=inch")
_PLURALS = word_table("foot=feet, inch=inches, stone=stone, dozen=dozen, hundredweight=hundredweight, kelvin=kelvin")
_ANY_UNIT = alternatives(UNITS)
_WORD_UNITS = "day|week|month|year|hour|minute|second|person|head|capita"
_UNIT = re.compile(
    rf"(?<![\w.,/])(?P<amount>{QUANTITY})(?:(?P<gap>[ -]?)(?P<unit>{_ANY_UNIT})(?:\^?(?P<power>[23]))?"
    rf"(?:(?P<sign>/|·|\*| (?=[a-zA-Zμ]{{1,3}}\^-))(?P<second>{_ANY_UNIT}|{_WORD_UNITS})"
    rf"(?:\^?(?P<minus>-)?(?P<second_power>[123]))?)?"
    r"|(?P<attached>in)|(?: )(?P<inch>in)(?=\. (?:of|long|wide|high|deep|tall|thick)\b))"
    r"(?![\w/'^])(?P<stop>\.(?!\w))?"
)
_SQUARE = re.compile(r"(?<=\d )(sq|cu|fl|ft)\.[ -]?(?=(?:ft|in|yd|mi|m|km|oz|lbs?)\b)")
_CONSUMPTION = re.compile(r"(?<=\d) ?[lL]\.?/100 ?km\b")
_POWERS = {"2": "square ", "3": "cubic ", None: "", "1": ""}


def read_units(text: str) -> str:
    """Read measures. The unit is singular after one, before a noun with a hyphen, and after an article.

    >>> read_units("5 km, 1 kg, a 10-ft pole, a 6 ft wall, 3 m^2, a 5 L can, 9.8 m/s^2")
    'five kilometers, one kilogram, a ten foot pole, a six foot wall, three square meters, a five liter can, \
nine point eight meters per second squared'
    >>> read_units("60 mph, 1/2 mi, 12 oz. of tea. It has 5 lb.")
    'sixty miles per hour, one half of a mile, twelve ounces of tea. It has five pounds.'
    """
    text = _CONSUMPTION.sub(" liters per hundred kilometers", text) if "/100" in text else text
    return _UNIT.sub(_unit, _SQUARE.sub(r"\1 ", text))


def _unit(match: re.Match[str]) -> str:
    if match["unit"] and not _is_unit(match):
        return match[0]
    amount = match["amount"]
    one = _POWERS[match["power"]] + (UNITS.get(match["unit"]) or _ATTACHED_UNITS[match["attached"] or match["inch"]])
    if match["second"]:
        one = _compound(match, one)
    if "/" in amount and " " not in amount and "-" not in amount:
        spoken = f"{quantity(amount)} of {'an' if one[0] in 'aeiou' else 'a'} {one}"
    else:
        is_adjective = match["gap"] == "-" or has_article(match)
        spoken = counted(amount, one, one if is_adjective else _plural_unit(one))
    keeps_stop = match["stop"] and ends_sentence(after(match, 60), any_capital=True)
    return spoken + ("." if keeps_stop else "")


def _is_unit(match: re.Match[str]) -> bool:
    """Return whether a letter after a number is a unit: 5 L and 5L, but not 4K, 20s or 5 N Street."""
    unit, amount, rest = match["unit"], match["amount"], after(match, 2)
    if match["second"] or match["power"]:
        return True
    if unit in _SPACED_ONLY and match["gap"] != " ":
        return False
    if unit == "st":
        return match["gap"] == " " and re.match(r" \d", rest) is not None
    if unit in _NOT_BEFORE_CAPITAL and match["gap"] == " " and rest[:1] == " " and rest[1:].isupper():
        return False
    if unit == "s" and match["gap"] != " ":
        return re.search(r"\.\d\d?$", amount) is not None
    return True


def _compound(match: re.Match[str], first: str) -> str:
    sign, power, is_inverse = match["sign"], match["second_power"], bool(match["minus"])
    second = UNITS.get(match["second"], match["second"])
    if sign in "·*" and not is_inverse:
        return f"{first} {_POWERS[power]}{second}"
    if second in ("second", "hour", "minute") and power in ("2", "3"):
        return f"{first} per {second} {'squared' if power == '2' else 'cubed'}"
    return f"{first} per {_POWERS[power]}{second}"


def _plural_unit(one: str) -> str:
    head, joint, rest = next(
        ((head, joint, rest) for joint in (" per ", " of ") for head, _, rest in [one.partition(joint)] if rest),
        (one, "", ""),
    )
    if head.endswith("hertz"):
        return one
    for name, many in _PLURALS.items():
        if head == name or head.endswith(" " + name):
            return head[: len(head) - len(name)] + many + joint + rest
    return f"{head}s{joint}{rest}"


_FEET_AND_INCHES = re.compile(r"(?<![\w.,'])(\d\d?)' ?(\d\d?)(?:\"|''|(?![\w%]|[.,/]\d|'\w))")
_FT_AND_IN = re.compile(r"(?<![\w.,'])(\d\d?) ?ft\.? (\d\d?) ?in(?:ch(?:es)?)?\b(\.(?!\w))?")
_FEET = re.compile(r"(?<![\w.,'])(\d{1,4})'(?= (?:tall|long|wide|high|deep)\b)")


def read_feet_and_inches(text: str) -> str:
    """Read heights and lengths in feet and inches.

    >>> read_feet_and_inches("a man of 6'2, a girl of 5 ft. 1 in. and a wall 12' high")
    'a man of six feet two inches, a girl of five feet one inch and a wall twelve feet high'
    """
    text = _FT_AND_IN.sub(_feet_and_inches, _FEET_AND_INCHES.sub(_feet_and_inches, text))
    return _FEET.sub(lambda match: counted(match[1], "foot", "foot" if has_article(match) else "feet"), text)


def _feet_and_inches(match: re.Match[str]) -> str:
    feet, inches = ("foot", "inch") if has_article(match) else ("feet", "inches")
    spoken = f"{counted(match[1], 'foot', feet)} {counted(match[2], 'inch', inches)}"
    keeps_stop = match[0].endswith(".") and ends_sentence(after(match, 60), any_capital=True)
    return spoken + ("." if keeps_stop else "")


_MAGNITUDES = word_table("bn=billion, mn=million, mln=million, mio=million, tn=trillion, M=million, B=billion")
_MAGNITUDE = re.compile(rf"(?<![\w.,/$£€])({NUMBER}) ?({alternatives(_MAGNITUDES)})(?![\w'/-])")


def read_magnitudes(text: str) -> str:
    """Expand short forms of million and billion; M and B only if they have no other meaning.

    >>> read_magnitudes("3bn people, 1.5M views, 7B parameters, flat 7B")
    'three billion people, one point five million views, seven billion parameters, flat 7B'
    """
    return _MAGNITUDE.sub(_magnitude, text)


def _magnitude(match: re.Match[str]) -> str:
    amount, scale = match.groups()
    is_sure = len(scale) > 1 or "." in amount or re.match(r" [a-z]+s\b", match.string[match.end() : match.end() + 30])
    return f"{quantity(amount)} {_MAGNITUDES[scale]}" if is_sure else match[0]
