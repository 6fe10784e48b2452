"""Identity numbers, cards, accounts and wallets as their issuers' documents describe them: for each
a maker of candidates, a check of its own, and the forms in which it is written. Nothing here is
taken from the expressions or the C code under test: valid examples are candidates that pass the
check, neighbours are examples with one changed character that do not."""

import hashlib
import string

UP = string.ascii_uppercase
B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def ints(text):
    return [int(c) for c in text]


def luhn(text):
    total = 0
    for place, c in enumerate(reversed(text)):
        total += sum(divmod(int(c) * (2 if place % 2 else 1), 10))
    return total % 10 == 0


def dot(text, weights):
    return sum(int(c) * w for c, w in zip(text, weights))


def date(yymmdd):
    month, day = int(yymmdd[2:4]), int(yymmdd[4:6])
    return 1 <= month <= 12 and 1 <= day <= [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]


def dmy(ddmmyy):
    """Also the numbers of those who are not citizens: day plus 40."""
    if ddmmyy[0] in "4567":
        ddmmyy = str(int(ddmmyy[0]) - 4) + ddmmyy[1:]
    return date(ddmmyy[4:6] + ddmmyy[2:4] + ddmmyy[0:2])


def varied(text):
    return len(set(text)) > 1


def verhoeff(text):
    """J. Verhoeff, Error detecting decimal codes, 1969: the group D5 as permutations."""
    def mul(a, b):
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5
    perm = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    c = 0
    for place, ch in enumerate(reversed(text)):
        d = int(ch)
        for _ in range(place % 8):
            d = perm[d]
        c = mul(c, d)
    return c == 0


def iso7064_11_10(text):
    rest = 10
    for c in text[:-1]:
        rest = (rest + int(c)) % 10 or 10
        rest = rest * 2 % 11
    return (rest + int(text[-1])) % 10 == 1


def de_tax(t):
    counts = sorted(t[:10].count(d) for d in set(t[:10]))
    return t[0] != "0" and iso7064_11_10(t) and counts[-1] in (2, 3) and counts[-2] == 1


def nhs(t):
    c = 11 - dot(t[:9], range(10, 1, -1)) % 11
    return c != 10 and c % 11 == int(t[9]) and varied(t)


def nir(t):
    return (97 - int(t[:13]) % 97) == int(t[13:]) and t[0] in "12345678" and \
        (1 <= int(t[3:5]) <= 12 or 20 <= int(t[3:5]) <= 42 or int(t[3:5]) >= 50)


def be(t):
    check = int(t[9:])
    return int(t[2:4]) % 20 <= 12 and int(t[4:6]) <= 31 and check in \
        (97 - int(t[:9]) % 97, 97 - int("2" + t[:9]) % 97)


def hetu(t):
    return dmy(t[:6]) and int(t[7:10]) >= 2 and \
        t[10] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(t[:6] + t[7:10]) % 31]


def fnr(t):
    return dmy(t[:6]) and dot(t, [3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0]) % 11 == 0 and \
        dot(t, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0


def cpf(t):
    def check(n):
        return dot(t[:n], range(n + 1, 1, -1)) * 10 % 11 % 10 == int(t[n])
    return check(9) and check(10) and varied(t)


def cnpj(t):
    def check(n):
        weights = ([6, 5, 4, 3, 2] + list(range(9, 1, -1)))[13 - n:]
        rest = dot(t[:n], weights) % 11
        return (0 if rest < 2 else 11 - rest) == int(t[n])
    return check(12) and check(13) and varied(t)


def dni(t):
    first = {"X": "0", "Y": "1", "Z": "2"}.get(t[0], t[0])
    return t[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(first + t[1:-1]) % 23]


def fiscal(t):
    odd = dict(zip("0123456789", [1, 0, 5, 7, 9, 13, 15, 17, 19, 21]))
    odd.update(zip(UP, [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
                        22, 25, 24, 23]))
    even = dict(zip("0123456789", range(10)))
    even.update(zip(UP, range(26)))
    total = sum((odd if i % 2 == 0 else even)[c] for i, c in enumerate(t[:15]))
    return t[15] == UP[total % 26] and t[8] in "ABCDEHLMPRST"


def cz(t):
    month = int(t[2:4]) % 50
    month = month - 20 if month > 20 else month
    exception = int(t[:9]) % 11 == 10 and t[9] == "0" and 54 <= int(t[:2]) <= 85
    return (int(t) % 11 == 0 or exception) and date(t[:2] + "%02d" % month + t[4:6])


def ro(t):
    rest = dot(t[:12], ints("279146358279")) % 11
    return t[0] in "123456789" and date(t[1:7]) and \
        (1 <= int(t[7:9]) <= 52 or t[7:9] in ("70", "80", "81", "82", "83")) and \
        int(t[12]) == (1 if rest == 10 else rest)


def bg(t):
    month = int(t[2:4])
    base = 40 if month > 40 else 20 if month > 20 else 0
    return date(t[:2] + "%02d" % (month - base) + t[4:6]) and \
        dot(t[:9], [2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == int(t[9])


def baltic(t):
    rest = dot(t[:10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11
    if rest == 10:
        rest = dot(t[:10], [3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10
    return t[0] in "12345678" and date(t[1:7]) and rest == int(t[10])


def lv(t):
    return (dmy(t[:6]) or t[:2] == "32") and (1101 - dot(t[:10], [1, 6, 3, 7, 9, 10, 5, 8, 4, 2])) % 11 == int(t[10])


def jmbg(t):
    rest = 11 - dot(t[:12], [7, 6, 5, 4, 3, 2] * 2) % 11
    return dmy(t[:4] + t[5:7]) and (t[4:7] >= "880" or t[4:7] <= "060") and rest != 10 and rest % 11 == int(t[12])


def tckn(t):
    d = ints(t)
    return d[0] > 0 and (sum(d[0:9:2]) * 7 - sum(d[1:8:2])) % 10 == d[9] and sum(d[:10]) % 10 == d[10]


def krrn(t):
    rest = (11 - dot(t[:12], [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10
    return date(t[:6]) and (rest + (2 if t[6] in "5678" else 0)) % 10 == int(t[12])


def cn(t):
    weights = [pow(2, 17 - i, 11) for i in range(17)]
    return date(t[8:14]) and "1850" <= t[6:10] <= "2099" and \
        (12 - dot(t[:17], weights) % 11) % 11 == (10 if t[17] == "X" else int(t[17]))


def hk(t):
    total = 36 * 9 + (ord(t[0]) - 55) * 8 + dot(t[1:7], range(7, 1, -1))
    return (total + (10 if t[7] == "A" else int(t[7]))) % 11 == 0


def nric(t):
    total = dot(t[1:8], [2, 7, 6, 5, 4, 3, 2]) + (4 if t[0] in "TG" else 0)
    return t[8] == ("JZIHGFEDCBA" if t[0] in "ST" else "XWUTRQPNMLK")[total % 11]


def th(t):
    return t[0] in "12345678" and (11 - dot(t[:12], range(13, 1, -1)) % 11) % 10 == int(t[12])


def mynumber(t):
    rest = dot(t[:11], [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
    return int(t[11]) == (0 if rest <= 1 else 11 - rest)


def tw(t):
    n = {c: i + 10 for i, c in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO")}[t[0]]
    total = n // 10 + n % 10 * 9 + dot(t[1:9], range(8, 0, -1)) + int(t[9])
    return t[1] in "1289" and total % 10 == 0


def tfn(t):
    return dot(t, [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 == 0


def abn(t):
    return t[0] != "0" and dot(str(int(t[0]) - 1) + t[1:], [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) % 89 == 0


def acn(t):
    return (dot(t[:8], range(8, 0, -1)) + int(t[8])) % 10 == 0


def medicare(t):
    return t[0] in "23456" and dot(t[:8], [1, 3, 7, 9, 1, 3, 7, 9]) % 10 == int(t[8]) and t[9] in "123456789"


def ird(t):
    rest = -dot(t[:8], [3, 2, 7, 6, 5, 4, 3, 2]) % 11
    if rest == 10:
        rest = -dot(t[:8], [7, 4, 3, 2, 5, 2, 7, 6]) % 11
    return 10000000 < int(t) < 150000000 and rest == int(t[8])


def za(t):
    return date(t[:6]) and t[10] in "012" and luhn(t)


def curp(t):
    values = {c: i for i, c in enumerate("0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ")}
    total = sum(values[c] * (18 - i) for i, c in enumerate(t[:17]))
    return date(t[4:10]) and t[10] in "HMX" and int(t[17]) == -total % 10


def rut(t):
    total = sum(int(c) * w for c, w in zip(reversed(t[:-1]), [2, 3, 4, 5, 6, 7] * 2))
    return t[-1] == "0123456789K0"[11 - total % 11] if total % 11 else t[-1] == "0"


def cuit(t):
    check = 11 - dot(t[:10], [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
    return (t[:2] == "20" or "23" <= t[:2] <= "27" or "30" <= t[:2] <= "34") and \
        (9 if check == 10 else check % 11) == int(t[10])


def ruc(t):
    return t[:2] in ("10", "15", "16", "17", "20") and \
        (11 - dot(t[:10], [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 10 == int(t[10])


def gstin(t):
    alphabet = "0123456789" + UP
    total = 0
    for i, c in enumerate(t[:14]):
        total += sum(divmod(alphabet.index(c) * (1 + i % 2), 36))
    return (1 <= int(t[:2]) <= 38 or t[:2] == "97") and t[5] in "PCHABGJLFTEK" and t[7:11] != "0000" and \
        t[14] == alphabet[-total % 36]


def snils(t):
    return int(t[:9]) > 1001998 and dot(t[:9], range(9, 0, -1)) % 101 % 100 == int(t[9:])


def inn(t):
    return dot(t[:10], [7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == int(t[10]) and \
        dot(t[:11], [3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == int(t[11])


def pps(t):
    return t[7] == "WABCDEFGHIJKLMNOPQRSTUV"[dot(t[:7], range(8, 1, -1)) % 23]


def ean(t):
    return (sum(ints(t[0::2])) + 3 * sum(ints(t[1::2]))) % 10 == 0


def svnr(t):
    return t[0] != "0" and 1 <= int(t[4:6]) <= 31 and 1 <= int(t[6:8]) <= 15 and \
        dot(t, [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 == int(t[3])


def aba(t):
    return (int(t[:2]) <= 12 or 21 <= int(t[:2]) <= 32) and dot(t, [3, 7, 1] * 3) % 10 == 0


def npi(t):
    return t[0] in "12" and luhn("80840" + t)


def dea(t):
    d = ints(t[2:])
    return (d[0] + d[2] + d[4] + 2 * (d[1] + d[3] + d[5])) % 10 == d[6]


def itin(t):
    g = int(t[3:5])
    return t[0] == "9" and (50 <= g <= 65 or 70 <= g <= 88 or 90 <= g <= 92 or g >= 94)


def ssn(t):
    return t[:3] not in ("000", "666") and t[0] != "9" and t[3:5] != "00" and t[5:] != "0000"


def nino(t):
    return t[0] not in "DFIQUV" and t[1] not in "DFIOQUV" and t[8] in "ABCD" and \
        t[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def regon(t):
    return dot(t[:8], [8, 9, 2, 3, 4, 5, 6, 7]) % 11 % 10 == int(t[8])


def nip(t):
    return t[:3] >= "101" and dot(t[:9], [6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == int(t[9])


def hu_taj(t):
    return dot(t[:8], [3, 7] * 4) % 10 == int(t[8])


def afm(t):
    return sum(int(c) * 2 ** (8 - i) for i, c in enumerate(t[:8])) % 11 % 10 == int(t[8])


def nit(t):
    rest = dot(t[:9], [41, 37, 29, 23, 19, 17, 13, 7, 3]) % 11
    return int(t[9]) == (rest if rest < 2 else 11 - rest)


def iin(t):
    rest = dot(t[:11], range(1, 12)) % 11
    if rest == 10:
        rest = dot(t[:11], [3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2]) % 11
    return date(t[:6]) and t[6] in "0123456" and rest == int(t[11])


def rnokpp(t):
    return dot(t[:9], [-1, 5, 7, 9, 4, 6, 10, 5, 7]) % 11 % 10 == int(t[9])


def cnpj_letters(t):
    """Letters count as their ASCII code less 48."""
    values = [ord(c) - 48 for c in t]
    for n in (12, 13):
        total = sum(v * (2 + i % 8) for i, v in enumerate(reversed(values[:n])))
        if values[n] != (0 if total % 11 < 2 else 11 - total % 11):
            return False
    return True


def cnic(t):
    return t[0] in "12345678"


def cpr(t):
    return dmy(t[:6]) and len(set(t[6:])) > 1


def lu(t):
    return date(t[2:8]) and "1850" <= t[:4] <= "2099" and luhn(t[:12]) and verhoeff(t[:11] + t[12])


# type, words in front, shape (9 digit, A capital, X either, other characters themselves in upper
# case, YYMMDD and DDMMYY a date), check, forms with # for a character.
NUMBERS = [
    ("US_SSN", "SSN", "999999999", ssn, ["###-##-####", "#########"]),
    ("US_ITIN", "ITIN", "9" * 9, itin, ["###-##-####"]),
    ("US_NPI", "NPI", "1999999999", npi, ["##########"]),
    ("MEDICAL_LICENSE", "DEA registration", "BA9999999", dea, ["#########"]),
    ("ABA_ROUTING_NUMBER", "routing number", "999999999", aba, ["#########"]),
    ("CA_SIN", "SIN", "499999999", luhn, ["###-###-###", "### ### ###", "#########"]),
    ("BR_CPF", "CPF", "99999999999", cpf, ["###.###.###-##", "###########"]),
    ("BR_CNPJ", "CNPJ", "99999999999999", cnpj, ["##.###.###/####-##", "##############"]),
    ("MX_CURP", "CURP", "AAAAYYMMDDHAAAAA99", curp, ["##################"]),
    ("AR_CUIT", "CUIT", "20999999999", cuit, ["##-########-#", "###########"]),
    ("CL_RUT", "RUT", "999999999", rut, ["##.###.###-#", "########-#", "#########"]),
    ("CO_NIT", "NIT", "9999999999", nit, ["###.###.###-#", "##########"]),
    ("PE_RUC", "RUC", "20999999999", ruc, ["###########"]),
    ("UK_NHS", "NHS number", "9999999999", nhs, ["### ### ####", "##########"]),
    ("UK_NINO", "national insurance number", "AA999999A", nino, ["## ## ## ## #", "#########"]),
    ("IE_PPS", "PPS number", "9999999A", pps, ["########"]),
    ("DE_TAX_ID", "Steuer-ID", "99999999999", de_tax, ["## ### ### ###", "###########"]),
    ("FR_NIR", "NIR", "199019999999999", nir, ["# ## ## ## ### ### ##", "###############"]),
    ("FR_SIREN", "SIREN", "999999999", luhn, ["### ### ###", "#########"]),
    ("FR_SIRET", "SIRET", "99999999999999", lambda t: luhn(t[:9]) and luhn(t), ["##############"]),
    ("NL_BSN", "BSN", "999999999", lambda t: varied(t) and dot(t, [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 == 0,
     ["#########"]),
    ("BE_NATIONAL_NUMBER", "Rijksregisternummer", "YYMMDD99999", be, ["##.##.##-###.##", "###########"]),
    ("LU_NIN", "matricule", "19YYMMDD99999", lu, ["#############"]),
    ("CH_AHV", "AHV", "7569999999999", ean, ["###.####.####.##", "#############"]),
    ("AT_SVNR", "SVNR", "9999DDMMYY", svnr, ["#### ######", "##########"]),
    ("SE_PERSONNUMMER", "personnummer", "YYMMDD9999",
     lambda t: date(t[:4] + "%02d" % (int(t[4:6]) % 60)) and luhn(t),
     ["######-####", "##########"]),
    ("FI_PERSONAL_IDENTITY_CODE", "henkil\u00f6tunnus", "DDMMYY-999X", hetu, ["###########"]),
    ("NO_FODSELSNUMMER", "f\u00f8dselsnummer", "DDMMYY99999", fnr, ["###########", "###### #####"]),
    ("IS_KENNITALA", "kennitala", "DDMMYY9999",
     lambda t: dmy(t[:6]) and t[9] in "890" and dot(t, [3, 2, 7, 6, 5, 4, 3, 2, 1, 0]) % 11 == 0,
     ["######-####"]),
    ("ES_NIF", "DNI", "99999999A", dni, ["#########", "########-#"]),
    ("ES_NIE", "NIE", "x9999999A", dni, ["#########", "#-#######-#"]),
    ("IT_FISCAL_CODE", "codice fiscale", "AAAAAA99A99A999A", fiscal, ["################"]),
    ("IT_VAT_CODE", "partita IVA", "19999990999", lambda t: luhn(t) and t[7:10] != "000", ["###########"]),
    ("PT_NIF", "NIF", "299999999",
     lambda t: (11 - dot(t, range(9, 1, -1)) % 11) % 11 % 10 == int(t[8]), ["#########"]),
    ("GR_AFM", "AFM", "999999999", afm, ["#########"]),
    ("GR_AMKA", "AMKA", "DDMMYY99999", lambda t: dmy(t[:6]) and luhn(t), ["###########"]),
    ("PL_PESEL", "PESEL", "YYMMDD99999",
     lambda t: date(t[:2] + "%02d" % (int(t[2:4]) % 20) + t[4:6]) and
     dot(t, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 == 0, ["###########"]),
    ("PL_NIP", "NIP", "9999999999", nip, ["###-###-##-##", "##########"]),
    ("PL_REGON", "REGON", "999999999", regon, ["#########"]),
    ("CZ_RODNE_CISLO", "rodn\u00e9 \u010d\u00edslo", "YYMMDD9999", cz, ["######/####", "##########"]),
    ("HU_TAX_ID", "ad\u00f3azonos\u00edt\u00f3", "8999999999",
     lambda t: dot(t[:9], range(1, 10)) % 11 == int(t[9]), ["##########"]),
    ("HU_TAJ", "TAJ", "999999999", hu_taj, ["### ### ###"]),
    ("RO_CNP", "CNP", "1YYMMDD999999", ro, ["#############"]),
    ("BG_EGN", "EGN", "YYMMDD9999", bg, ["##########"]),
    ("HR_OIB", "OIB", "99999999999", iso7064_11_10, ["###########"]),
    ("SI_EMSO", "EM\u0160O", "DDMM9999999999"[:13], jmbg, ["#############"]),
    ("EE_ISIKUKOOD", "isikukood", "3YYMMDD9999", baltic, ["###########"]),
    ("LT_ASMENS_KODAS", "asmens kodas", "4YYMMDD9999", baltic, ["###########"]),
    ("LV_PERSONAS_KODS", "personas kods", "DDMMYY99999", lv, ["######-#####"]),
    ("RU_SNILS", "SNILS", "99999999999", snils, ["###-###-### ##"]),
    ("RU_INN", "INN", "999999999999", inn, ["############"]),
    ("IN_AADHAAR", "Aadhaar", "499999999999", verhoeff, ["#### #### ####", "############"]),
    ("IN_PAN", "PAN", "AAAPA9999A", lambda t: t[5:9] != "0000", ["##########"]),
    ("IN_GSTIN", "GSTIN", "29AAAPA9999A1ZX", gstin, ["###############"]),
    ("AU_TFN", "TFN", "999999999", tfn, ["### ### ###", "#########"]),
    ("AU_ABN", "ABN", "59999999999", abn, ["## ### ### ###", "###########"]),
    ("AU_ACN", "ACN", "999999999", acn, ["### ### ###"]),
    ("AU_MEDICARE", "Medicare", "2999999999", medicare, ["#### ##### #", "##########"]),
    ("NZ_IRD", "IRD", "199999999", ird, ["###-###-###"]),
    ("CN_RESIDENT_ID", "resident ID", "11010119YYMMDD9999", cn, ["##################"]),
    ("HK_ID", "HKID", "A9999999", hk, ["#######(#)", "########"]),
    ("SG_NRIC_FIN", "NRIC", "S9999999A", nric, ["#########"]),
    ("TH_TNIN", "Thai ID", "1999999999999", th, ["#-####-#####-##-#", "#############"]),
    ("KR_RRN", "resident registration number", "YYMMDD1999999", krrn, ["######-#######"]),
    ("JP_MY_NUMBER", "My Number", "999999999999", mynumber, ["#### #### ####", "############"]),
    ("TW_NATIONAL_ID", "Taiwan national ID", "A199999999", tw, ["##########"]),
    ("TR_NATIONAL_ID", "TC kimlik", "99999999999", tckn, ["###########"]),
    ("IL_ID", "teudat zehut", "999999999", luhn, ["#########"]),
    ("ZA_ID", "South African ID number", "YYMMDD9999999", za, ["#############"]),
    ("SA_NATIONAL_ID", "iqama", "2999999999", luhn, ["##########"]),
    ("AE_EMIRATES_ID", "Emirates ID", "784199999999999",
     lambda t: t[:3] == "784" and "1900" <= t[3:7] <= "2099" and luhn(t), ["###-####-#######-#"]),
    ("UA_RNOKPP", "\u0440\u043d\u043e\u043a\u043f\u043f", "2999999999", rnokpp, ["##########"]),
    ("DK_CPR", "CPR-nummer", "DDMMYY9999", cpr, ["######-####", "##########"]),
    ("PK_CNIC", "CNIC", "3520299999999", cnic, ["#####-#######-#", "#############"]),
    ("IN_VOTER", "EPIC", "AAA9999999", lambda t: luhn(t[3:]), ["##########"]),
    ("BR_CNPJ", "CNPJ", "XXXXXX99XXXX99", cnpj_letters, ["##.###.###/####-##", "##############"]),
    ("KZ_IIN", "IIN", "YYMMDD399999", iin, ["############"]),
]

# ISO/IEC 7812: prefix and length by network.
CARDS = [("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16),
         ("34", 15), ("37", 15), ("6011", 16), ("65", 16), ("300", 14), ("36", 14), ("3528", 16),
         ("3589", 16), ("62", 16), ("2200", 16), ("5018", 12), ("6304", 12)]
CARD_FORMS = {16: ["#### #### #### ####", "####-####-####-####", "#" * 16], 15: ["#### ###### #####"],
              14: ["#### ###### ####"]}

# SWIFT IBAN Registry, release 98: the account part by country.
IBANS = {"AT": "9" * 16, "BE": "9" * 12, "BG": "AAAA999999XXXXXXXX", "CH": "99999" + "X" * 12,
         "CY": "99999999" + "X" * 16, "CZ": "9" * 20, "DE": "9" * 18, "DK": "9" * 14, "EE": "9" * 16,
         "ES": "9" * 20, "FI": "9" * 14, "FR": "9999999999" + "X" * 11 + "99", "GB": "AAAA" + "9" * 14,
         "GR": "9999999" + "X" * 16, "HR": "9" * 17, "HU": "9" * 24, "IE": "AAAA" + "9" * 14,
         "IS": "9" * 22, "IT": "A9999999999" + "X" * 12, "LI": "99999" + "X" * 12, "LT": "9" * 16,
         "LU": "999" + "X" * 13, "LV": "AAAA" + "X" * 13, "MC": "9999999999" + "X" * 11 + "99",
         "MT": "AAAA99999" + "X" * 18, "NL": "AAAA9999999999", "NO": "9" * 11, "PL": "9" * 24,
         "PT": "9" * 21, "RO": "AAAA" + "X" * 16, "SE": "9" * 20, "SI": "9" * 15, "SK": "9" * 20,
         "TR": "999999" + "X" * 16, "SA": "99" + "X" * 18, "AE": "9" * 19, "BR": "9" * 23 + "AX",
         "IL": "9" * 19, "UA": "999999" + "X" * 19, "NO ": ""}
del IBANS["NO "]


def shaped(rng, shape):
    out, i = "", 0
    while i < len(shape):
        if shape.startswith("YYMMDD", i) or shape.startswith("DDMMYY", i):
            y, m, d = rng.randrange(50, 100), rng.randrange(1, 13), rng.randrange(1, 29)
            out += ("%02d%02d%02d" if shape[i] == "Y" else "%02d%02d%02d") % \
                ((y, m, d) if shape[i] == "Y" else (d, m, y))
            i += 6
            continue
        if shape.startswith("DDMM9", i):
            out += "%02d%02d9" % (rng.randrange(1, 29), rng.randrange(1, 13))
            i += 5
            continue
        c = shape[i]
        out += rng.choice("0123456789") if c == "9" else rng.choice(UP) if c == "A" else \
            rng.choice("0123456789" + UP) if c == "X" else c.upper()
        i += 1
    return out


def valid(rng, shape, check):
    """A candidate that passes; the last places are where a check character may need a letter."""
    for _ in range(200000):
        t = shaped(rng, shape)
        if check(t):
            return t
    raise ValueError("nothing of the shape %s passes" % shape)


def write(text, form):
    chars = iter(text)
    return "".join(next(chars) if c == "#" else c for c in form)


def neighbours(rng, text, check, count):
    """text with one digit changed, as far as the check refuses it."""
    out = []
    places = [i for i, c in enumerate(text) if c.isdigit()]
    for _ in range(count):
        i = rng.choice(places)
        other = text[:i] + rng.choice([d for d in "0123456789" if d != text[i]]) + text[i + 1:]
        try:
            if not check(other):
                out.append(other)
        except (ValueError, IndexError, KeyError):
            pass
    return out


def card(rng, prefix, length):
    body = prefix + "".join(rng.choice("0123456789") for _ in range(length - len(prefix) - 1))
    return next(body + d for d in "0123456789" if luhn(body + d))


def iban_check(t):
    return int("".join(str(int(c, 36)) for c in t[4:] + t[:4])) % 97 == 1


def iban(rng, country):
    part = shaped(rng, IBANS[country])
    rest = int("".join(str(int(c, 36)) for c in part + country + "00")) % 97
    return "%s%02d%s" % (country, 98 - rest, part)


def base58check(rng, version):
    payload = bytes([version]) + bytes(rng.randrange(256) for _ in range(20))
    raw = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, out = int.from_bytes(raw, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        out = B58[rest] + out
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + out


def bech32(rng, prefix):
    """BIP 173 with a version 0 witness program of 20 bytes."""
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    data = [0] + [rng.randrange(32) for _ in range(32)]
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + data + [0] * 6
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
            check ^= generator if top >> bit & 1 else 0
    check ^= 1
    tail = [(check >> 5 * (5 - i)) & 31 for i in range(6)]
    return prefix + "1" + "".join(alphabet[d] for d in data + tail)
