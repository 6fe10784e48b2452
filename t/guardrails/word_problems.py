"""Word problems and reports with large numbers, many with words that stand beside personal data: call,
text, message, desk, office, account, card. None of them holds any."""

THINGS = ("apples bytes tickets stamps bricks cells grains records rows tokens litres stickers views downloads"
          " units steps samples pixels packets seeds books bolts votes shares copies").split()
PEOPLE = "Mia Tom Aiko Ravi Lena Omar Sofia Jack Nadia Pedro".split()
PLACES = ["the office", "the desk", "a factory", "the phone shop", "the bank", "a library", "the call centre",
          "the card shop", "the post office", "the server room"]
VERBS = ["sold", "counted", "ordered", "returned", "shipped", "stored", "printed", "reached", "processed"]


def amount(rng):
    value = rng.randrange(10 ** rng.randrange(3, 12))
    style = rng.randrange(7)
    if style == 0:
        return "{:,}".format(value)
    if style == 1:
        return "{:,}".format(value).replace(",", " ")
    if style == 2:
        return "%d.%02d" % (value, rng.randrange(100))
    if style == 3:
        return "${:,}.{:02d}".format(value, rng.randrange(100))
    if style == 4:
        return str(2 ** rng.randrange(10, 40))
    if style == 5:
        return str(value // 1000 * 1000)
    return str(value)


def sentence(rng):
    a, b, c = (amount(rng) for _ in range(3))
    who, thing, place, verb = rng.choice(PEOPLE), rng.choice(THINGS), rng.choice(PLACES), rng.choice(VERBS)
    return rng.choice([
        "%s has %s %s and gives away %s of them. How many are left?" % (who, a, thing, b),
        "Last year %s %s %s %s. This year it was %s." % (place, verb, a, thing, b),
        "The call %s %s after %s steps." % (rng.choice(["returned", "gave", "printed", "yielded"]), a, b),
        "The text has %s characters, the message %s %s." % (a, b, thing),
        "A phone costs %s, a card %s and a ring %s dollars." % (a, b, c),
        "What is %s + %s - %s?" % (a, b, c),
        "What is %s times %s divided by %s?" % (a, b, c),
        "Compute %s / %s and round the result to %s." % (a, b, rng.randrange(1, 9)),
        "The ring buffer holds %s %s, the signal has %s samples." % (a, thing, b),
        "%s reached %s %s, %s fewer than the office." % (who, a, thing, b),
        "If %s %s weigh %s grams, how much do %s weigh?" % (a, thing, b, c),
        "A bank account grows from %s to %s dollars in %d years." % (a, b, rng.randrange(2, 30)),
        "The numbers %s, %s and %s have which greatest common divisor?" % (a, b, c),
        "%s of %s people text, %s call, the others write letters." % (a, b, c),
        "The server at the desk moved %s bytes in %s seconds." % (a, b),
        "Is %s larger than %s?" % (a, b),
        "Each message has %s %s; %s messages were lost." % (a, thing, b),
        "The factory's serial counter went from %s to %s in week %d." % (a, b, rng.randrange(1, 53)),
    ])


def make(rng, count):
    return [" ".join(sentence(rng) for _ in range(rng.randrange(1, 4))) for _ in range(count)]
