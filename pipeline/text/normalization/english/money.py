"""Rules for amounts of money: currencies by sign or code, before or after the number, and old British coins."""

from __future__ import annotations

import re

from pipeline.text.normalization.english.words import (
    NUMBER,
    QUANTITY,
    after,
    alternatives,
    before,
    cardinal,
    counted,
    digits,
    ends_sentence,
    has_article,
    is_before_noun,
    number,
    quantity,
    word_table,
)

Currency = tuple[str, str, str, str]  # one, many, one hundredth, hundredths; "" if hundredths have no name

# Singular=plural, hundredth, plural of the hundredth.
_FORMS = word_table(
    "dollar=dollars cent cents, pound=pounds penny pence, euro=euros cent cents, yen=yen sen sen, "
    "rupee=rupees paisa paise, franc=francs centime centimes, krona=kronor ore ore, krone=kroner ore ore, "
    "yuan=yuan fen fen, won=won jeon jeon, rouble=roubles kopeck kopecks, zloty=zlotys grosz groszy, "
    "koruna=korunas haler halers, forint=forints filler fillers, lira=lira kurus kurus, real=reais centavo centavos, "
    "rand=rand cent cents, peso=pesos centavo centavos, shekel=shekels agora agorot, dirham=dirhams fils fils, "
    "riyal=riyals halala halalas, baht=baht satang satang, naira=naira kobo kobo, hryvnia=hryvnias kopiyka kopiykas, "
    "ringgit=ringgit sen sen, rupiah=rupiah sen sen, leu=lei ban bani, lev=leva stotinka stotinki, dong=dong, "
    "bitcoin=bitcoins, cedi=cedis pesewa pesewas, tenge=tenge, shilling=shillings cent cents"
)
_SIGNS = word_table(
    "$=dollar, US$=U S dollar, A$=Australian dollar, AU$=Australian dollar, C$=Canadian dollar, CA$=Canadian dollar, "
    "NZ$=New Zealand dollar, HK$=Hong Kong dollar, S$=Singapore dollar, R$=real, £=pound, €=euro, ¥=yen, ₹=rupee, "
    "₩=won, ₽=rouble, ₺=lira, ₴=hryvnia, ₫=dong, ₦=naira, ฿=baht, ₪=shekel, ₱=peso, ₵=cedi, ₸=tenge, ₿=bitcoin"
)
_CODES = word_table(
    "USD=U S dollar, EUR=euro, GBP=pound, JPY=yen, CHF=Swiss franc, CAD=Canadian dollar, AUD=Australian dollar, "
    "NZD=New Zealand dollar, HKD=Hong Kong dollar, SGD=Singapore dollar, INR=rupee, CNY=yuan, RMB=yuan, KRW=won, "
    "SEK=Swedish krona, NOK=Norwegian krone, DKK=Danish krone, PLN=zloty, CZK=koruna, HUF=forint, RUB=rouble, "
    "TRY=lira, BRL=real, ZAR=rand, MXN=Mexican peso, ILS=shekel, AED=dirham, SAR=riyal, THB=baht, IDR=rupiah, "
    "MYR=ringgit, PHP=Philippine peso, VND=dong, NGN=naira, UAH=hryvnia, RON=leu, BGN=lev, BTC=bitcoin, "
    "KES=Kenyan shilling, Rs=rupee, Rs.=rupee, kr=krone, zł=zloty"
)


def _currency(name: str) -> Currency:
    *country, unit = name.split(" ")
    many, hundredth, hundredths = [*_FORMS[unit].split(), "", ""][:3]
    return name, " ".join([*country, many]), hundredth, hundredths


_CURRENCIES = {mark: _currency(name) for mark, name in (_SIGNS | _CODES).items()}
CURRENCY_MARK = rf"(?:{alternatives(_SIGNS)}|(?-i:{alternatives(_CODES)}))"
CURRENCY_NAMES = {sign: _CURRENCIES[sign][1] for sign in _SIGNS}  # in the plural
CURRENCY_SIGNS = frozenset("".join(_SIGNS)) - frozenset("USACNZHKR$")
_SCALES = word_table("k=thousand, m=million, mn=million, mio=million, mln=million, bn=billion, b=billion, tn=trillion")
_SPACED_SCALE = rf"(?:[ -]?(thousand|million|billion|trillion)\b| ?({alternatives(_SCALES)})\b(?!'))"
_SCALE = rf"(?:[ -]?(thousand|million|billion|trillion)\b|({alternatives(_SCALES)})\b(?!'))"

_PENCE = r"(?:\d\d? )?[1-3]/[248]|\d\d?"
_POUNDS_AND_COINS = re.compile(rf"£ ?({NUMBER}) (\d\d?) ?s(?:\.|(?<! s))(?: ({_PENCE}) ?d\b\.?)?(?!\w)")
_SHILLINGS_AND_PENCE = re.compile(rf"(?<![\w.,])(\d\d?)s\.? ({_PENCE})d\b\.?")
_COIN = re.compile(rf"(?<![\w.,'/$£€-])(?:([1-9]\d?)s|({_PENCE})d)\.(?![\w.])")
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
    rf"(?<!\w)(-)?({CURRENCY_MARK}) ?(-?)({QUANTITY}|\.\d{{1,3}})"
    rf"(?:-{CURRENCY_MARK}? ?({NUMBER})(?!,?\d))?{_SCALE}?( ?-?(?:note|bill|coin)\b)?(?![^\W_])",
    re.IGNORECASE,
)
_MONEY_AFTER = re.compile(
    rf"(?<![\w.,-])(-)?({NUMBER})(?:-({NUMBER}))?(?i:{_SPACED_SCALE})? ?({CURRENCY_MARK}|euros?|dollars?)(?!\w|\$|\.\d)"
)
_SCALED_RANGE = re.compile(rf"(\d(?:{alternatives(_SCALES)}))-(?=[$£€¥])", re.IGNORECASE)
_CENTS = re.compile(rf"(?<![\w.,])(?:({NUMBER}) ?¢|(\d\d?)p(?![\w.'-]))")
# Pounds as in old books: 10,000 l. a year, 200 L per annum, 94l. 13s. Any other l means liters.
_INCOME = r" (?:a[ -](?:year|week|month|head)|per (?:annum|head)|sterling)\b"
_OLD_POUNDS = re.compile(rf"(?<![\w.,/])(?<!\d-)(?<!\d - )({NUMBER})(?:( ?)l\.(?![\w/])|( ?)[lL](?={_INCOME}))")
_OLD_MONEY_NEXT = re.compile(
    rf"{_INCOME}|(?:,? and|,)? \d\d? ?s\.| of (?:my|his|her|our|your|their)\b| in (?:money|cash|gold|silver)\b"
)
_VOLUME_NEXT = re.compile(
    r" (?:of (?:(?:\w+ ){0,2}(?:water|milk|cream|wine|beer|ale|oil|petrol|gasoline|gas|fuel|diesel|juice|stock|broth|"
    r"vinegar|brandy|whisk(?:y|ey)|rum|gin|spirits?|blood|air|paint|soup|tea|coffee|lemonade|cider|alcohol|solution|"
    r"liquid|fluid|hydrogen|oxygen|ice)\b)|(?:bottles?|cans?|jugs?|tanks?|pots?|pans?|flasks?|barrels?|engines?|"
    r"kegs?|buckets?|capacity|containers?)\b)"
)
_VOLUME_BEFORE = re.compile(
    r"\b(?:drinks?|drank|pour(?:s|ed)?|add(?:s|ed)?|holds?|capacity|volume|contains?|fill(?:s|ed)?|"
    r"consumes?|liters?|litres?)\b[\w ]{0,12}$",
    re.IGNORECASE,
)
_PER = re.compile(
    r"\b(dollars?|cents?|pounds?|pence|euros?) ?/ ?(hour|day|week|month|year|head|person|lb|kg|oz|km)\b\.?"
)
_PER_UNITS = word_table("lb=pound, kg=kilogram, oz=ounce, km=kilometer")


def read_money(text: str) -> str:
    """Read amounts of money, old and new, before or after their sign.

    >>> read_money("$5.50, £3 10s., €1.2 million, US$1, 50¢")
    'five dollars and fifty cents, three pounds ten shillings, one point two million euros, one U S dollar, fifty cents'
    >>> read_money("2s. 6d. for it, 5s. a week; in his 20s.")
    'two shillings and six pence for it, five shillings a week; in his 20s.'
    >>> read_money("94l. 13s., or 500 l. a year; 0.5 l., 2 l. of milk")
    'ninety-four pounds thirteen shillings, or five hundred pounds a year; 0.5 l., 2 l. of milk'
    >>> read_money("$5-10, £0.99, -$5, 5 €, 3.50 EUR, CHF 20, -5 USD")
    'five to ten dollars, ninety-nine pence, minus five dollars, five euros, three euros and fifty cents, \
twenty Swiss francs, minus five U S dollars'
    """
    text = _POUNDS_AND_COINS.sub(_pounds_and_coins, _OLD_POUNDS.sub(_old_pounds, text))
    text = _SHILLINGS_AND_PENCE.sub(lambda match: _old_coins(match, match[1], match[2]), text)
    text = _SCALED_RANGE.sub(r"\1 to ", _COIN.sub(_coin, text))
    text = _MONEY_BEFORE.sub(_money_before, text)
    text = _MONEY_AFTER.sub(_money_after, text)
    return _PER.sub(lambda match: f"{match[1]} per {_PER_UNITS.get(match[2], match[2])}", _CENTS.sub(_cents, text))


def _old_pounds(match: re.Match[str]) -> str:
    """Rewrite pounds with a pound sign; liters stay as they are."""
    amount, gap, gap_before_income = match.groups()
    rest = after(match, 60)
    is_money = gap_before_income == " " or _OLD_MONEY_NEXT.match(rest) is not None
    if not is_money:
        is_volume = "." in amount or _VOLUME_NEXT.match(rest) or _VOLUME_BEFORE.search(before(match, 30))
        # Without other signs, "5l." is nearly always a volume.
        is_money = not is_volume and (gap == " " or _PRICED.search(before(match, 40)) is not None)
    keeps_stop = match[0].endswith(".") and ends_sentence(rest, any_capital=True)
    return f"£{amount}{'.' if keeps_stop else ''}" if is_money else match[0]


def _many(match: re.Match[str], one: str, many: str) -> str:
    """Return the singular before a noun (a $20 tip), but not in "a £100 or two"."""
    return one if is_before_noun(match) else many


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
    """Return the words for shillings and pence, with the full stop of the sentence."""
    coins = [counted(shillings, "shilling", _many(match, "shilling", "shillings"))] if shillings else []
    coins += [counted(pence, "penny", "pence")] if pence else []
    keeps_stop = match[0].endswith(".") and ends_sentence(after(match, 60), any_capital=True)
    return " and ".join(coins) + ("." if keeps_stop else "")


def _money_before(match: re.Match[str]) -> str:
    minus, mark, inner_minus, amount, last, scale_word, scale_letter, paper = match.groups()
    one, many, hundredth, hundredths = _currency_of(mark)
    many = one if paper else _many(match, one, many)
    hundredths = _many(match, hundredth, hundredths) if hundredths != "pence" else hundredths
    spoken = _amount(amount, last, _scale(scale_word, scale_letter), (one, many, hundredth, hundredths))
    return f"{'minus ' if minus or inner_minus else ''}{spoken}{' ' + paper.lstrip(' -') if paper else ''}"


def _money_after(match: re.Match[str]) -> str:
    minus, amount, last, scale_word, scale_letter, mark = match.groups()
    if mark.islower() and mark not in _CODES:  # "3.50 euros"; in "3 euros" only the number is rewritten
        if not re.search(r"\.\d\d$", amount) or last or scale_word or scale_letter:
            return match[0]
        mark = "€" if mark.startswith("euro") else "$"
    one, many, hundredth, hundredths = _currency_of(mark)
    many = one if has_article(match) and is_before_noun(match) else many
    spoken = _amount(amount, last, _scale(scale_word, scale_letter), (one, many, hundredth, hundredths))
    return f"{'minus ' if minus else ''}{spoken}"


def _currency_of(mark: str) -> Currency:
    return _CURRENCIES.get(mark) or _CURRENCIES[mark.upper()]


def _scale(word: str | None, letter: str | None) -> str:
    return (word or _SCALES.get((letter or "").lower(), "")).lower()


def _amount(amount: str, last: str | None, scale: str, currency: Currency) -> str:
    many = currency[1]
    if last:
        return f"{quantity(amount)} to {quantity(last)}{' ' + scale if scale else ''} {many}"
    return f"{quantity(amount)} {scale} {many}" if scale else _say_money(amount, currency)


def _say_money(amount: str, currency: Currency) -> str:
    one, many, hundredth, hundredths = currency
    whole, _, decimals = amount.partition(".")
    if "/" in amount:
        return f"{quantity(amount)} {many}" if " " in amount or "-" in amount else f"{quantity(amount)} of a {one}"
    if not decimals:
        return counted(amount, one, many)
    if len(decimals) != 2 or not hundredth:
        return f"{number(whole or '0')} point {digits(decimals)} {many}"
    main = counted(whole, one, many) if whole.strip("0") else ""
    small = f"{cardinal(int(decimals))} {hundredth if decimals == '01' else hundredths}" if decimals != "00" else ""
    return " and ".join(part for part in (main, small) if part) or f"zero {many}"


def _cents(match: re.Match[str]) -> str:
    if match[1]:
        return counted(match[1], "cent", _many(match, "cent", "cents"))
    return counted(match[2], "penny", "pence")
