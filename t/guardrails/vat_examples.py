"""Value added tax numbers as the European Commission's VIES lists their structures, with the check
digits of each state, written apart from the rules: (shape of the part behind the prefix, check,
forms). Shapes and forms as in pii_examples.py."""

from pii_examples import afm, cz, dni, dot, ints, iso7064_11_10, luhn, lv, nip, pps, varied


def at(t):
    doubled = [sum(divmod(2 * int(c), 10)) if i % 2 else int(c) for i, c in enumerate(t[1:8])]
    return -(sum(doubled) + 4) % 10 == int(t[8])


def bg(t):
    first = dot(t[:8], range(1, 9)) % 11
    return (dot(t[:8], range(3, 11)) % 11 % 10 if first == 10 else first) == int(t[8])


def cy(t):
    odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21]
    total = sum(odd[int(c)] for c in t[:8:2]) + sum(ints(t[1:8:2]))
    return not t.startswith("12") and ord(t[8]) - 65 == total % 26


def cz_company(t):
    return t[0] != "9" and (11 - dot(t[:7], range(8, 1, -1)) % 11) % 10 == int(t[7])


def cif(t):
    total = sum(ints(t[2:8:2])) + sum(sum(divmod(2 * int(c), 10)) for c in t[1:8:2])
    return int(t[8]) == -total % 10


def fr(t):
    return luhn(t[2:]) and int(t[2:] + "12") % 97 == int(t[:2])


def fr_letter(t):
    """A letter and a digit: 34 places for the first, less 100."""
    place = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ".find(t[0])
    if place < 10:
        return False
    key = place * 34 + int(t[1]) - 100
    return luhn(t[2:]) and (int(t[2:]) + 1 + key // 11) % 11 == key % 11


def gb(t):
    return t[:7] != "0000000" and (dot(t[:7], range(8, 1, -1)) + int(t[7:9])) % 97 in (0, 42, 55)


def ie_old(t):
    return pps("0" + t[2:7] + t[0] + t[7])


def ie_two(t):
    """Two letters: the second, of A to I, counts nine times its place."""
    total = dot(t[:7], range(8, 1, -1)) + 9 * (ord(t[8]) - 64)
    return t[8] in "ABCDEFGHI" and t[7] == "WABCDEFGHIJKLMNOPQRSTUV"[total % 23]


def it(t):
    return luhn(t) and (1 <= int(t[7:10]) <= 100) and t[:7] != "0000000"


def lt(t):
    places = range(len(t) - 1)
    first = sum((1 + i % 9) * int(t[i]) for i in places) % 11
    second = sum((1 + (i + 2) % 9) * int(t[i]) for i in places) % 11 % 10
    return t[-2] == "1" and (second if first == 10 else first) == int(t[-1])


def lv_company(t):
    return t[0] > "3" and dot(t, [9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1]) % 11 == 3


def nl(t):
    return varied(t[:9]) and dot(t[:9], [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 == 0


def nl_2020(t):
    return int("2321" + t[:9] + "11" + t[10:]) % 97 == 1


def pt(t):
    rest = dot(t[:8], range(9, 1, -1)) % 11
    return (0 if rest < 2 else 11 - rest) == int(t[8])


def ro(t):
    return t[0] != "0" and dot(t[:-1], [7, 5, 3, 2, 1, 7, 5, 3, 2][10 - len(t):]) * 10 % 11 % 10 == int(t[-1])


def si(t):
    rest = 11 - dot(t[:7], range(8, 1, -1)) % 11
    return t[0] != "0" and rest != 11 and rest % 10 == int(t[7])


NUMBERS = [("VAT_NUMBER", "VAT number", shape, check, forms) for shape, check, forms in [
    ("U99999999", at, ["AT#########", "AT# ########", "AT #########"]),
    ("0999999999", lambda t: 97 - int(t[:8]) % 97 == int(t[8:]), ["BE##########", "BE ####.###.###", "BE####.###.###"]),
    ("999999999", bg, ["BG#########"]),
    ("99999999A", cy, ["CY#########"]),
    ("99999999", cz_company, ["CZ########"]),
    ("YYMMDD9999", cz, ["CZ##########"]),
    ("199999999", iso7064_11_10, ["DE#########", "DE ### ### ###"]),
    ("19999999", lambda t: dot(t, [2, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0, ["DK########", "DK ## ## ## ##"]),
    ("999999999", lambda t: dot(t, [3, 7, 1] * 3) % 10 == 0, ["EE#########"]),
    ("999999999", lambda t: afm(t) and varied(t), ["EL#########"]),
    ("99999999A", dni, ["ES#########"]),
    ("B99999999", cif, ["ES#########", "ES-#########"]),
    ("99999999", lambda t: dot(t, [7, 9, 10, 5, 8, 4, 2, 1]) % 11 == 0, ["FI########", "FI ########"]),
    ("99999999999", fr, ["FR###########", "FR ## ### ### ###"]),
    ("A9999999999", fr_letter, ["FR###########"]),
    ("999999999", gb, ["GB#########", "GB ### #### ##", "GB### #### ##", "XI#########"]),
    ("99999999999", iso7064_11_10, ["HR###########"]),
    ("19999999", lambda t: dot(t, [9, 7, 3, 1, 9, 7, 3, 1]) % 10 == 0, ["HU########"]),
    ("9999999A", pps, ["IE########"]),
    ("9A99999A", ie_old, ["IE########"]),
    ("9999999AA", ie_two, ["IE#########"]),
    ("99999999999", it, ["IT###########", "IT ###########"]),
    ("999999919", lt, ["LT#########"]),
    ("999999999919", lt, ["LT############"]),
    ("19999999", lambda t: int(t[:6]) % 89 == int(t[6:]), ["LU########", "LU ### ### ##"]),
    ("99999999999", lambda t: lv_company(t) if t[0] > "3" else lv(t), ["LV###########"]),
    ("19999999", lambda t: dot(t, [3, 4, 6, 7, 8, 9, 10, 1]) % 37 == 0, ["MT########", "MT #### ####"]),
    ("999999999b99", lambda t: nl(t) or nl_2020(t), ["NL############", "NL ####.##.###.###"]),
    ("999999999", lambda t: t[0] in "89" and dot(t, [3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0,
     ["NO#########MVA", "NO ### ### ### MVA", "NO#########"]),
    ("1999999999", lambda t: nip(t) and varied(t), ["PL##########", "PL ###-###-##-##"]),
    ("519999999", pt, ["PT#########", "PT ### ### ###"]),
    ("99999999", ro, ["RO########"]),
    ("999999", ro, ["RO######"]),
    ("1999999999", luhn, ["SE##########01"]),
    ("19999999", si, ["SI########"]),
    ("1129999999", lambda t: t[2] in "234789" and int(t) % 11 == 0, ["SK##########"]),
]]
