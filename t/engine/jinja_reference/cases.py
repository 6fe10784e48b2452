"""Small templates, in two lists of one per line and a third with line breaks, that together use every construct, filter, test and method of the interpreter.

Each is rendered by jinja2 and by ours over the same variables. EXPR is wrapped in {{ }}.
"""

VARS = {
    "s": "Hello, World", "u": "žluťoučký ＫŮŇ 🙂 ß ΑΣ ΑΣΑ", "ws": " \t a  b\nc \u00a0", "empty": "",
    "multi": "one\n\ntwo\r\nthree\u2028four\n", "html": "<b>&'\"</b>", "digits": "0123", "n": 42,
    "neg": -7, "f": 2.5, "t": True, "fl": False, "nil": None, "big": 123456789012345678901234567890,
    "lst": [3, 1, 2], "words": ["b", "A", "c", "a"], "mixed": [1, "x", None, True, 2.5, [1], {"k": "v"}],
    "d": {"b": 1, "a": 2, "C": 3}, "deep": {"x": {"y": [{"z": "end"}]}},
    "items": {"items": 1, "keys": "k", "get": "g"}, "e": {}, "el": [],
    "people": [{"name": "Eva", "age": 30, "tag": {"c": "x"}}, {"name": "adam", "age": 25, "tag": {"c": "y"}},
               {"name": "Bob", "age": 30, "tag": {"c": "x"}, "on": True}],
    "floats": [1.0, 1e22, 1.5e-7, 0.1, 100000000000000000.0, 1e16, 123456.789, -0.0, 5e-324, 1.7976931348623157e308],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
        "a": {"type": "string", "description": "The \"a\" \\ ü\n"}}, "required": ["a"]}}}],
    "ctl": "a\x00\x01\x1f\x7f\x80\u2028\U0001f600'\"\\", "json": '{"a": [1, 2.5, "x", null, true], "b": {"c": "d"}}',
}

EXPR = r"""
s
u
nil
t
fl
n
f
big
-big|int if false else big
lst
mixed
d
e
el
people
floats
tools
ctl
[ctl]
[s, u, html, "it's", 'say "x"', 'both \' and "']
{'a': 1, 2: 'b', none: true, 1.5: (1,), (1, 2): ()}
()
(1,)
(1, 2)
1, 2
undefined_thing
undefined_thing.attr
undefined_thing['x']
undefined_thing()
undefined_thing + 1
undefined_thing ~ 'x'
undefined_thing == undefined_other
undefined_thing == none
undefined_thing < 1
d.nope
d['nope']
d.nope.deeper
d[5]
lst[10]
lst[10].x
lst.nope
lst['nope']
s.nope
s[100]
nil.x
nil['x']
n.x
n[0]
items.items is defined
items['items']
items.keys is defined
items['keys']
items.nothing is defined
deep.x.y[0].z
deep['x']['y'][0]['z']
deep.x.y.0.z
d.b + d['a']
1 + 2 * 3 - 4 / 2
7 // 2
-7 // 2
7 // -2
-7 % 3
7 % -3
7.5 // 2
-7.5 % 2
7.5 % -2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
1 / 0
1 // 0
1 % 0
1.0 / 0
1.5 // 0
1.5 % 0.0
0.1 + 0.2
1e3
1E-3
1_000
0x1F + 0b101 + 0o17
1_0.5e1_0
3 * 'ab'
'ab' * 3
'ab' * -1
[1, 2] * 2
2 * (1,)
[1] + [2]
(1,) + (2,)
[1] + (2,)
'a' + 1
1 + 'a'
'a' + none
none + 'a'
'a' + undefined_thing
[1] + 1
1 - 'a'
t + t
t * 5
n + 0.5
-t
+f
-n
- -n
not n
not empty
n and empty
empty or 'x'
nil or fl or 0
n and s
1 < 2 < 3
1 < 3 < 2
1 == 1.0 == true
n == 42
n != 42
s == 'Hello, World'
'a' < 'b'
'a' < 1
none < 1
[1, 2] < [1, 3]
[1, 2] == [1, 2]
(1,) == [1]
{'a': 1} == {'a': 1.0}
d == d
1 <= 1 >= 1
'x' in 'xyz'
'' in 'x'
1 in 'x'
none in 'x'
undefined_thing in 'x'
1 in lst
9 not in lst
'a' in d
['x'] in d
'z' not in d
1 in 5
1 in none
'a' in undefined_thing
undefined_thing in lst
2 in range(3)
'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1] ~ undefined_thing
1 ~ 2 + 3
s[0]
s[-1]
s[1:4]
s[:5]
s[-5:]
s[::-1]
s[::2]
s[8:2:-2]
s[5:2]
s[100:]
u[3:8]
u[::-1]
lst[1:]
lst[::-1]
lst[-2:]
lst[:-1]
lst[0:2:1]
(1,2,3)[1:]
range(10)[2:8:2]
range(10)[::-1]
lst['a':]
lst[::0]
n[1:]
d[1:]
'yes' if t else 'no'
'yes' if fl else 'no'
'yes' if fl
('yes' if fl).x
1 if 0 else 2 if 0 else 3
s if s is string else n
"a" "b" 'c'
'\n\t\\\'\"\x41\u00e9\U0001F600\101\q'
'ü\é€'
'line\
joined'
s|length
u|length
u|count
lst|length
d|length
d.items()|length
n|length
undefined_thing|length
none|length
ws|trim
'xxaxx'|trim('x')
none|trim
n|string
n|string|length
none|string
undefined_thing|string
s|default('x')
nil|default('x')
nil|default('x', true)
undefined_thing|default('x')
undefined_thing|d
undefined_thing|default(default_value='q', boolean=true)
empty|default('x', boolean=true)
undefined_thing|default(['l'])|first
lst|join
lst|join(', ')
words|join('-')|upper
mixed|join('|')
people|join(', ', attribute='name')
people|map(attribute='name')|join(',')
''|join(',')
'abc'|join('.')
undefined_thing|join('x')
n|join
d|items|list
d.items()
d.keys()
d.values()
d.items()|list
d.keys()|list
d|list
s|list
undefined_thing|list
n|list
n|items|list
undefined_thing|items|list
d|dictsort
d|dictsort(true)
d|dictsort(false, 'value')
d|dictsort(by='value', reverse=true)
d|dictsort(by='x')
n|dictsort
people|selectattr('on')|list
people|selectattr('age', 'equalto', 30)|map(attribute='name')|list
people|selectattr('age', '==', 30)|list|length
people|selectattr('on', 'defined')|map(attribute='name')|list
people|rejectattr('on', 'defined')|map(attribute='name')|list
people|rejectattr('on')|map(attribute='name')|list
people|selectattr('tag.c', 'eq', 'x')|map(attribute='tag.c')|list
people|selectattr('age', 'gt', 26)|list|length
people|selectattr()|list
people|map(attribute='nope')|list
people|map(attribute='nope', default='-')|list
people|map(attribute='nope.deeper')|list
mixed|select('string')|list
mixed|select|list
mixed|reject('none')|list
mixed|reject|list
lst|select('odd')|list
lst|select('gt', 1)|list
lst|reject('in', [1, 2])|list
lst|select('nosuchtest')|list
words|map('upper')|list
words|map('replace', 'a', 'X')|list
words|map('nosuchfilter')|list
words|map|list
lst|map('string')|join
[[1,2],[3]]|map('length')|list
[[1,2],[3]]|map('join', '-')|list
lst|map(attribute=0)|list
[[1,2],[3,4]]|map(attribute=1)|list
[[1,2],[3,4]]|map(attribute='1')|list
lst|sort
words|sort
words|sort(true)
words|sort(case_sensitive=true)
people|sort(attribute='name')|map(attribute='name')|list
people|sort(attribute='age,name')|map(attribute='name')|list
people|sort(reverse=true, attribute='age')|map(attribute='name')|list
mixed|sort
lst|min
lst|max
words|max
words|min(case_sensitive=true)
el|min
people|max(attribute='age')
lst|sum
people|sum(attribute='age')
lst|sum(start=10)
words|sum
floats|first
lst|first
el|first
s|first
lst|last
el|last
d|first
lst|reverse|list
s|reverse
words|unique|list
[1, 1.0, true, 2]|unique|list
words|unique(true)|list
people|unique(attribute='age')|map(attribute='name')|list
lst|batch(2)|list
lst|batch(2, 'x')|list
range(7)|slice(3)|list
range(7)|slice(3, 'x')|list
people|groupby('age')|list|length
people|groupby('tag.c')
s|upper
s|lower
u|upper
u|lower
u|capitalize
u|title
s|capitalize
'hello wORLD-foo (bar) [baz] <qux> it\'s'|title
none|upper
s|replace('l', 'L')
s|replace('l', 'L', 1)
s|replace('', '-')
s|replace('', '-', 3)
'aaa'|replace('a', 'bb', 2)
n|replace('4', 'x')
u|replace('Ů', 'U')
s|safe
html|safe
(html|safe) + html
html + (html|safe)
(html|safe) ~ html
html|e
html|escape|safe
html|e|e
html|forceescape
[html|safe]
html|safe|upper
html|safe|length
multi|indent
multi|indent(2)
multi|indent(2, true)
multi|indent(2, true, true)
multi|indent('> ', first=true)
multi|indent(width=1, blank=true)
''|indent
''|indent(2, true)
n|indent
'42'|int
' 42 '|int
'4_2'|int
'42.9'|int
'x'|int
'x'|int(-1)
'0x1f'|int(0, 16)
'1f'|int(base=16)
'0b11'|int(0, 0)
'-7'|int
none|int
lst|int
f|int
-f|int
t|int
undefined_thing|int
'1e3'|int
'inf'|int
''|int
'3.5'|float
'x'|float
'x'|float(1.5)
n|float
none|float
' 1e-3 '|float
'nan'|float
neg|abs
f|abs
s|abs
f|round
2.675|round(2)
2.5|round
3.5|round
n|round
-2.5|round
2.1|round(0, 'ceil')
2.9|round(method='floor')
2.123|round(1, 'ceil')
2.5|round|int
1234.5|round(-2)
f|round(1, 'nope')
s|tojson
u|tojson
ctl|tojson
html|tojson
n|tojson
f|tojson
floats|tojson
t|tojson
nil|tojson
big|tojson
d|tojson
e|tojson
el|tojson
mixed|tojson
tools|tojson
tools|tojson(indent=2)
tools|tojson(indent=4)
tools[0]|tojson(indent=0)
el|tojson(indent=2)
e|tojson(indent=2)
d|tojson(indent='--')
u|tojson(ensure_ascii=true)
ctl|tojson(true)
d|tojson(sort_keys=true)
d|tojson(separators=(',', ':'))
d|tojson(false, none, (', ', ' : '))
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
{(1, 2): 3}|tojson
(1, 'a')|tojson
undefined_thing|tojson
d.items()|tojson
lst|map('string')|tojson
json|from_json
(json|from_json).a[1]
json|from_json|tojson
'nope'|from_json
'12345678901234567890123'|from_json + 0 if false else 1
'%s and %s'|format('a', 1)
'%d%%'|format(5)
'%05.1f|%-5s|%5s|%x|%+d'|format(3.14159, 'a', 'b', 255, 7)
'%(a)s-%(b)03d'|format(a='x', b=5)
'%s'|format
'%s'|format(1, 2)
'%d'|format('x')
'%r'|format('q\'s')
'%s' % 'x'
'%s-%s' % ('x', 'y')
'%s' % [1, 2]
'%s' % (1, 2)
'plain' % ()
'%5.2s|' % 'abc'
'%c' % 'a' if false else 'skip'
'hello'|center(11)
'hello world foo bar'|truncate(12)
'hello world foo bar'|truncate(12, true)
'hello world foo bar'|truncate(9, false, '..', 0)
'short'|truncate
'a b  c d_e'|wordcount
d|attr('b')
d|attr('items') is defined
d|attr('nope') is defined
s is defined
nope is defined
nope is undefined
s is undefined
d.nope is defined
d.b is defined
nil is none
s is not none
s is string
n is string
(html|safe) is string
d is mapping
lst is mapping
s is iterable
n is iterable
d is iterable
nope is iterable
s is sequence
d is sequence
n is sequence
d.items() is sequence
d.items() is iterable
range(3) is sequence
lst|map('string') is sequence
lst|map('string') is iterable
t is true
n is true
1 is true
fl is false
0 is false
t is boolean
1 is boolean
n is number
t is number
f is number
s is number
n is integer
t is integer
f is integer
big is integer
f is float
n is float
n is even
n is odd
f is odd
s is odd
n is divisibleby 7
n is divisibleby(5)
n is eq 42
n is equalto 42
n is ne 42
n is lt 50
n is lessthan 50
n is le 42
n is gt 42
n is greaterthan 1
n is ge 42
n is in [42]
s is in 'xHello, Worldx'
'a' is in d
n is sameas 42
lst is sameas lst
nil is sameas none
t is sameas 1
'abc' is lower
'ABC' is upper
'aBc' is lower
'' is lower
'1' is upper
u is lower
'upper' is filter
'zz' is filter
'odd' is test
range is callable
s is callable
d.get is callable
html|safe is escaped
s is escaped
n is not divisibleby 7
not n is even
n is even and s is string or nope
s.split(', ')
ws.split()
'a,b,,c'.split(',')
'a,b,c'.split(',', 1)
'a b c d'.split(none, 1)
' a  b c '.split(maxsplit=1)
s.split('')
s.split(1)
''.split()
''.split(',')
'a,b,c'.rsplit(',', 1)
' a b  c '.rsplit(none, 1)
' a b  c '.rsplit()
'</think>ab</think>c'.split('</think>')[-1]
ws.strip()
ws.lstrip()
ws.rstrip()
'xyaxy'.strip('xy')
'xyaxy'.lstrip('yx')
'xyaxy'.rstrip('xy')
s.strip(1)
s.startswith('Hello')
s.startswith(('x', 'H'))
s.startswith('ello', 1)
s.startswith(1)
s.endswith('World')
s.endswith(('x', 'd'))
s.endswith('llo', 0, 5)
s.replace('o', '0')
s.replace('o', '0', 1)
s.replace('', '.')
s.replace(1, 2)
u.upper()
u.lower()
u.title()
'they\'re bill\'s'.title()
u.capitalize()
u.swapcase()
'ǆ ǅ ﬁ ŉ'.title()
'ΑΣ ΑΣ. ΣΑΣ Σ'.lower()
'İI'.lower()
'{} {}'.format('a', 1)
'{0}-{1}-{0}'.format('a', 'b')
'{name}: {x.b} {y[0]}'.format(name='q', x=d, y=lst)
'{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd')
'{:05d} {:.2f} {:,} {:x} {:+} {:%}'.format(42, 3.14159, 1234567, 255, 7, 0.25)
'{!r} {!s}'.format('a', 'b')
'{{}} {{{}}}'.format(1)
'{}'.format()
'{a}'.format(b=1)
'{} {}'.format(none, [1, 'a'])
'{'.format(1)
'}'.format(1)
'{:d}'.format('x')
s.find('o')
s.find('o', 5)
s.find('zz')
u.find('Ů')
s.rfind('o')
s.index('W')
s.index('zz')
s.rindex('o')
s.count('l')
s.count('')
s.count('l', 3, 9)
', '.join(words)
', '.join(lst)
''.join([])
'-'.join('abc')
'-'.join(d)
s.partition(', ')
s.rpartition('o')
s.partition('zz')
s.rpartition('zz')
multi.splitlines()
multi.splitlines(true)
s.removeprefix('Hello')
s.removesuffix('World')
s.removeprefix('x')
'a'.ljust(3) ~ '|'
'a'.rjust(3, '*')
'ab'.center(5, '-')
'abc'.center(6, '-')
'-5'.zfill(4)
'abc'.isalpha()
u.isalpha()
'12'.isdigit()
'²'.isdigit()
'½'.isnumeric()
'a1'.isalnum()
' \n'.isspace()
'abc'.isascii()
u.isascii()
'ABC'.isupper()
'abc'.islower()
''.isalpha()
s.upper(1)
d.get('b')
d.get('zz')
d.get('zz', 'def')
d.get(['x'])
d.get()
d.copy()
d.b()
s()
lst.count(1)
lst.index(2)
lst.index(9)
(1, 2).index(2)
range(5)
range(5)|list
range(2, 5)|list
range(10, 0, -3)|list
range(0)|list
range(1, 10, 2)
range(5)|length
range(5)[1]
range(5)[-1]
range(5)[9]
range(1000000)
range('x')
range(1, 2, 0)
range()
dict(a=1, b='x')
dict(d, z=1)
dict([('a', 1), ('b', 2)])
namespace(a=1).a
namespace(a=1).b
namespace({'a': 1}).a
namespace(a=1)['a'] is defined
joiner()() ~ 'x'
raise_exception('boom: ' ~ n)
raise_exception('ünïcode "quoted"')
raise_exception(n)
strftime_now('%Y') is string
[1, 2, 3][1:]|join(',')
s|upper|lower|replace('h', 'J')|length
(s|upper).startswith('HELLO')
{'a': 'x', 'b': 'y'}['b']
{'user': 'U', 'assistant': 'A'}.get('user', '?')
{'a': {'b': [1, {'c': 2}]}}.a.b[1].c
[x for x in lst]
lst | length > 2 and s | upper == 'HELLO, WORLD'
not lst is mapping
(lst|length) * 2
lst|length * 2
-lst|length
1 in [1] and 2 not in [1]
'a' 'b' ~ 'c'
true and false or true
True, False, None
none is none
d['a':'b']
d.__class__
s.__len__()
lst[t]
d[t]
{true: 'x'}[1]
{1: 'x'}[1.0]
floats[0]|string
(1.0)|string ~ 1e16 ~ 1e15 ~ 123456789.125
1e400
-1e400
1e5|int
0.1 * 3
1 / 3
10 / 2
10 // 2.0
1e22
'a' if nope else 'b'
'a' if nope is defined and nope.x else 'b'
s is string and s is not mapping and s|length > 3
"%s" % undefined_thing
lst.clear is defined
s.encode is defined
(lst|map('upper'))|first
lst|map('string')|list|last
lst|map('string')|last
(lst|map('string'))[0]
(lst|map('string'))|length
7 is divisibleby(0)
"\u2028"|tojson
'é'|upper ~ 'É'|lower
d.items()|first
d|items|first
s|items|list
lst|dictsort
people[0]|dictsort
people|map(attribute='age')|sum
people|map(attribute='age')|max
words|sort|unique|list
0|default(5)
0|default(5, true)
false|default('x', true)
[] == el
{} == e
1 == '1'
none == false
'' == none
none|default('x')
[none]|tojson
[1, [2, [3, []]], {}]|tojson(indent=1)
""" + "\n"

TEMPLATES = r"""
{% if n > 40 %}a{% elif n > 10 %}b{% else %}c{% endif %}
{% if nope %}a{% elif fl %}b{% endif %}
{% if not nope and lst %}a{% endif %}|{% if d.nope is not defined %}b{% endif %}
{% for x in lst %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for x in lst %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}
{% for x in lst %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}
{% for x in lst %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }};{% endfor %}
{% for x in lst %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }};{% endfor %}
{% for x in lst %}{{ loop.nope }}{% endfor %}
{% for x in lst %}{{ loop.previtem.x }}{% endfor %}
{% for x in el %}a{% else %}empty{% endfor %}
{% for x in nope %}a{% else %}none{% endfor %}
{% for x in none %}a{% endfor %}
{% for x in 5 %}a{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}
{% for k, v in d|items %}{{ loop.index }}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }};{% endfor %}
{% for k, v in lst %}a{% endfor %}
{% for a, b, c in [[1,2]] %}a{% endfor %}
{% for a, b in [[1,2,3]] %}a{% endfor %}
{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for c in u %}[{{ c }}]{% endfor %}
{% for x in range(3) %}{% for y in range(2) %}{{ loop.index }}{{ x }}{{ y }} {% endfor %}{{ loop.index }}{% endfor %}
{% for x in lst if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}
{% for x in lst if x > 100 %}a{% else %}none{% endfor %}
{% for p in people if p.on is defined %}{{ p.name }}{% endfor %}
{% for x in range(10) %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in range(5) %}{% if x is odd %}{% continue %}{% endif %}{{ x }}{% endfor %}
{% for x in lst %}{% break %}{% else %}else{% endfor %}
{% for x in lst %}{% continue %}{% else %}else{% endfor %}
{% for x in lst %}{% if loop.index == 2 %}{% break %}{% endif %}{% else %}else{% endfor %}
{% for x in lst %}{% set y = x %}{% endfor %}{{ y }}
{% set y = 0 %}{% for x in lst %}{% set y = y + x %}{{ y }},{% endfor %}{{ y }}
{% set ns = namespace(y=0, z='q') %}{% for x in lst %}{% set ns.y = ns.y + x %}{% endfor %}{{ ns.y }}{{ ns.z }}
{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.a = ns.a + 1 %}{{ ns.a }}{{ ns.nope }}
{% set d.x = 1 %}
{% set nope.x = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1] %}
{% set a = 1, 2 %}{{ a }}
{% set (a, b) = (b, a) %}{{ a }}
{% set x %}block {{ n }}{% endset %}[{{ x }}]{{ x|length }}
{% set x | upper | trim %}  block {{ s }} {% endset %}[{{ x }}]
{% set x %}{% set inner = 5 %}{{ inner }}{% endset %}{{ x }}{{ inner }}
{% set s = s|upper %}{{ s }}
{% if t %}{% set inif = 3 %}{% endif %}{{ inif }}
{% macro m(a, b=2, c='x' ~ b) %}<{{ a }},{{ b }},{{ c }}>{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=4) }}{{ m(b=5, a=6) }}{{ m() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=1) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=1) }}
{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, z=3) }}
{% macro m(a) %}{% if a > 0 %}{{ a }},{{ m(a - 1) }}{% endif %}{% endmacro %}{{ m(4) }}
{% macro m() %}{{ later }}{% endmacro %}{% set later = 'L' %}{{ m() }}
{% macro m(x) %}{% set x = x + 1 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m(5) }}{{ x }}
{% for q in lst %}{% macro m() %}{{ q }}{% endmacro %}{{ m() }}{% endfor %}
{% macro m() %}{{ q }}{% endmacro %}{% for q in lst %}{{ m() }}{% endfor %}
{% macro m(x) %}  {{ x }}  {% endmacro %}[{{ m(1)|trim }}]{{ m.name }}{{ m.arguments }}
{% macro m() %}{{ caller('x') }}{% endmacro %}{% call(v) m() %}[{{ v }}{{ n }}]{% endcall %}
{% macro m(a) %}{{ a }}{{ caller() }}{% endmacro %}{% call m(1) %}body{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% filter upper %}abc {{ s }}{% endfilter %}
{% filter replace('a', 'b')|trim %}  a {{ 'a' }}  {% endfilter %}|
{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}
{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% generation %}text {{ s }}{% endgeneration %}
{% for x in lst %}{% generation %}{{ loop.index }}{% set g = x %}{% endgeneration %}{{ g }}{% endfor %}
{% raw %}{{ x }} {% if %}{% endraw %}!
a {%- raw -%}  x  {%- endraw -%} b
  a  {{- s -}}  b
  a  {{+ n }}  b
x   {% if t %}   y   {% endif %}   z
	{% if t %}tab{% endif %}
{{ '{{' }}{{ '}}' }}{{ "{%" }}
{{ {'a': {'b': 1}}['a'] }}
{{ {'a': {'b': {}}} }}
{%if n==42%}tight{%endif%}
{{n}}{{s|upper}}{{-n-}}
{{ s.split(',')[0] }}{{ (s.split(',')|last).strip() }}
{% set l = [] %}{{ l.append(1) }}{% set _ = l.append('x') %}{{ l }}{{ l.pop() }}{{ l }}{{ l.pop(0) }}{{ l.pop() }}
{% set l = [1,2,3] %}{% for x in l %}{% if x == 1 %}{% set _ = l.pop() %}{% endif %}{{ x }}{% endfor %}
{% set l = [3] %}{{ l.extend([1, 2]) }}{{ l.insert(0, 'a') }}{{ l }}{{ l.insert(-1, 'b') }}{{ l }}
{% set q = {'a': 1} %}{{ q.update({'b': 2}) }}{{ q.update(c=3) }}{{ q }}{{ q.pop('a') }}{{ q.pop('zz', 'def') }}{{ q }}{{ q.setdefault('n', 5) }}{{ q }}
{% set q = {'a': 1} %}{{ q.pop('zz') }}
{% set l = lst + [n] %}{{ l|length }}{{ lst|length }}
{% set j = joiner(' | ') %}{% for x in lst %}{{ j() }}{{ x }}{% endfor %}
{% set c = cycler('a', 'b') %}{% for x in lst %}{{ c.next() }}{{ c.current }}{% endfor %}{{ c.reset() }}{{ c.next() }}
{% set m = lst|map('string') %}{{ m|join }}|{{ m|join }}
{% set m = lst|select('odd') %}{% for x in m %}{{ x }}{% endfor %}{% for x in m %}{{ x }}{% else %}spent{% endfor %}
{% set g = lst|map('string') %}{{ g|first }}{{ g|list }}
{% for x in lst|sort %}{{ x }}{% endfor %}{% for x in lst|reverse %}{{ x }}{% endfor %}
{% for m in people[::-1] %}{{ m.name }}{% set ns = m %}{% endfor %}
{% for x in people %}{{ x['name'] }}{{ x.on|default('-') }}{{ '*' if x.on }}{% endfor %}
{% if lst[0] == 3 and (lst[1] < 2 or nope.x) %}short circuit{% endif %}
{% if s[:5] == 'Hello' %}{{ s[7:] }}{% endif %}
{% if 'tool' in d or 'b' in d %}x{% endif %}
{{ nope.x if false else 'ok' }}
{% set x = none %}{% if x is none %}N{% endif %}{{ x }}
{% set content = s if s is string else s|tojson %}{{ content }}
{% if a is not defined %}{% set a = false %}{% endif %}{{ a }}
{% if n is defined and n is not none and n > 3 %}y{% endif %}
{% for i in range(lst|length) %}{{ lst[i] }}{% endfor %}
{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}
{% break %}
{% for x in lst %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% if t %}
{% endif %}
{% for %}{% endfor %}
{% for x in lst %}
{{ unclosed
{{ 'unclosed }}
{{ (1 }}
{{ 1) }}
{{ }}
{% %}
{% nosuchtag %}
{# unclosed
{% raw %} unclosed
{{ 1 2 }}
{{ a.  }}
{{ |upper }}
{{ x is }}
{{ x is string is mapping }}
{% set 1 = 2 %}
{% set x %}
{% set %}{% endset %}
{% for loop in lst %}{% endfor %}
{% macro m(a=1, b) %}{% endmacro %}
{% elif %}
{{ f(a=1, 2) }}
{{ 'a' if }}
{{ 012 }}
{{ 1.. }}
{{ a b }}
{{ ! }}
{{ a ? b }}
{{ "\x4" }}
"""

# White space control and statements over several lines.
LINES = [
    "{% filter indent(2) %}a\nb{% endfilter %}",
    "{# comment #}a{#- c -#} b {# multi\nline #}c",
    "a {#- c #} b\n  {# c #}\nx",
    "{{ s }}\n{{ s }}\n", "{{ s }}\n\n", "text only\n", "\n\n{% if t %}\n\nx\n\n{% endif %}\n\n",
    "  {% if t %}\n  x\n  {% endif %}\n  y\n", "  {%- if t -%}\n  x\n  {%- endif -%}\n  y\n",
    "z\n  {%+ if t %}\n  x\n  {%+ endif +%}\n  y\n", "{% if t +%}\nx{% endif %}\na", "a\n    {% set q = 1 -%}\n    b",
    "<div>\n  {% for x in lst %}\n    <li>{{ x }}</li>\n  {% endfor %}\n</div>\n",
    "a\r\n  {% if t %}\r\nb\r{% endif %}\r\nc\r\n", "{{ n -}}\n   trimmed", "{{ n }}\n   kept", "a\n   {{- n }}",
    "a\n   {{ n }}", "a\n   {# c #}   \nb", "a\n   {# c -#}   \nb", "  {# first #}\nx", "x {% if t %}\n  y\n{% endif %} z",
    "{% raw %}\n  {{ x }}\n{% endraw %}\nafter", "  {%- raw %}  x  {% endraw -%}  \n b", "a\n  {% raw %} x\n  {% endraw %}\nb",
    "{% if t %}\u00a0\u2003{%- endif %}x", "\u3000{%- if t -%}\u2003x{% endif %}", "\t{% if t %}\tx\t{% endif %}\t",
    "{{ 'a\nb' }}{{ 'c\r\nd' }}", "{{\n  s\n  | upper\n}}", "{%\nif t\n%}x{%\nendif\n%}", "{% set x %}\n  a\n{% endset %}[{{ x }}]",
    "{% macro m(a) %}\n  {{ a }}\n{% endmacro %}\n[{{ m(1) }}]\n", "{% for x in lst %}\n{{ x }}\n{%- endfor %}\n!",
    "{% for x in lst -%}\n  {{ x }}\n{% endfor %}", "{% if t %}a{% else %}\nb{% endif %}\n\n{# c #}\n\nd", "\n", "", "{", "{ {", "%}", "}}",
    "{{ s }}{", "a{#", "{{ 1 }}\n{{ undefined_thing.x }}", "\n\n{{ nope.x }}",
]

UNSUPPORTED = [
    "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}",
    "{% block b %}{% endblock %}", "{% autoescape true %}{% endautoescape %}", "{{ x|urlize }}",
    "{{ x|nosuchfilter }}", "{{ x is nosuchtest }}", "{% for x in y recursive %}{% endfor %}",
    "{{ x.encode('utf8') }}", "{{ x.translate(y) }}", "{{ [1].sort() }}", "{{ ünï }}", "{{ x[1,2] }}",
    "{{ x|xmlattr }}", "{{ x|random }}", "{{ 99999999999999999999 }}", "{% print 1 %}",
]
