"""Hostile input: ids, texts and bodies, each made to break something; nothing here is harmful by itself."""

from __future__ import annotations

import itertools

_PARTS = (
    "..",
    "../..",
    "/etc/passwd",
    "\\..\\",
    "%2e%2e",
    "..%2f",
    "....//",
    "~root",
    "C:\\",
    "\x00",
    "\n",
    "\r\n",
    "\t",
    " ",
)
_ODD = (
    *(
        "",
        ".",
        "-",
        "--",
        "*",
        "?",
        "#",
        ";",
        "&",
        "|",
        "$(id)",
        "`id`",
        "${HOME}",
        "%s%n",
        "{0}",
        "{{7*7}}",
        "<b>",
        '"',
        "'",
    ),
    *(
        "' OR 1=1 --",
        "null",
        "None",
        "true",
        "0",
        "-1",
        "1e999",
        "NaN",
        "[]",
        "{}",
        "__proto__",
        "constructor",
        "__class__",
    ),
    *(
        "CON",
        "NUL",
        "aux.txt",
        ".git",
        ".env",
        "index.html",
        "app.js",
        "openapi.json",
        "answer",
        "cancel",
        "events",
        "q",
    ),
    *(
        "\u202eevil",
        "\u2028",
        "\ufeff",
        "é",
        "e\u0301",
        "😀",
        "\uff41",
        "İ",
        "ß",
        "\ud7ff",
        "\U0010ffff",
        "\x7f",
        "\x1b[2J",
        "\u0000",
    ),
    *(
        "f" * 31,
        "f" * 33,
        "F" * 32,
        "0" * 32,
        "g" * 32,
        "0x" + "f" * 30,
        "\uff10" * 32,
        "f" * 32 + "\n",
        " " + "f" * 32,
        "a" * 5000,
    ),
)
IDS = tuple(
    dict.fromkeys(
        itertools.chain(
            _ODD,
            _PARTS,
            (left + right for left, right in itertools.product(_PARTS, _PARTS)),
            (part + "f" * 32 for part in _PARTS),
            ("f" * 32 + part for part in _PARTS),
            (part * 20 for part in _PARTS),
        )
    )
)
RAW_PATHS = (
    *(
        b"/..",
        b"/../",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/static/../app.py",
        b"/static/%2e%2e/app.py",
        b"/static/..%2fapp.py",
    ),
    *(
        b"/static/..%5capp.py",
        b"/static//etc/passwd",
        b"/static/%00",
        b"/static/app.js%00.css",
        b"/static/%ff",
        b"/%ff%fe",
    ),
    *(b"/q/%2e%2e", b"/q/..%2f..", b"/q/%", b"/q/%zz", b"//evil.example/", b"/\\evil.example", b"/api/questions/%00"),
    *(
        b"/api/questions/%ff",
        b"/api/questions/%c0%ae",
        b"/api/questions/..%2f..%2fetc",
        b"/api//questions",
        b"/api/../api/health",
    ),
    *(b"/api/questions/%0d%0aSet-Cookie:%20a=b", b"/?" + b"a=b&" * 2000, b"/api/questions?" + b"limit=1&" * 500),
    *(
        b"/api/questions?run_id=%00",
        b"/api/questions?run_id=%ff",
        b"/api/questions?assignee[]=1",
        b"/api/questions?=&&&==&;",
    ),
    *(
        b"/api/events?question_id=../..",
        b"/api/events?question_id=%00",
        b"/" + b"a/" * 3000,
        b"/api/runs/%2e%2e/events/%2e%2e",
    ),
)

_CODE = ("alert(1)", "document.body.dataset.owned=1", "self.owned=1")
_MARKUP = (
    *(
        "<script>{}</script>",
        "<img src=x onerror={}>",
        "<svg onload={}>",
        "<svg><script>{}</script></svg>",
        "<body onload={}>",
    ),
    *(
        "<iframe src=javascript:{}>",
        "<a href=javascript:{}>x</a>",
        "<details open ontoggle={}>",
        "<input autofocus onfocus={}>",
    ),
    *(
        '"><script>{}</script>',
        "'><img src=x onerror={}>",
        "</title><script>{}</script>",
        "</textarea><script>{}</script>",
    ),
    *(
        "</script><script>{}</script>",
        "<!--><script>{}</script>",
        "<math><mtext><script>{}</script>",
        "]]><script>{}</script>",
    ),
    *(
        "<style>@import 'x'</style>{}",
        "<link rel=stylesheet href=x>{}",
        "<base href=//evil.example>{}",
        "<meta http-equiv=refresh>{}",
    ),
    *(
        '" onmouseover={} x="',
        "' onfocus={} '",
        "javascript:{}",
        "data:text/html,<script>{}</script>",
        "<form action=//x>{}</form>",
    ),
    *(
        "<template><script>{}</script></template>",
        "<noscript><p title='</noscript><img onerror={}>'>",
        "<object data=x>{}</object>",
    ),
    *(
        "<video><source onerror={}></video>",
        "<marquee onstart={}>x</marquee>",
        "<select><option>{}</select>",
        "<plaintext>{}",
    ),
    *("{{{{constructor.constructor('{}')()}}}}", "${{{}}}", "<\x00script>{}</script>", "\u202e<script>{}</script>"),
)
TEXTS = tuple(text.format(code) for text, code in itertools.product(_MARKUP, _CODE))

_JSON = "application/json"
BODIES = (
    *(
        (_JSON, raw)
        for raw in (b"", b"{", b"[]", b"null", b"0", b'"x"', b"{}{}", b"NaN", b'{"value":NaN}', b"\xff\xfe")
    ),
    *(
        (_JSON, b'{"value":' + raw + b"}")
        for raw in (b"1e999", b"-Infinity", b'"\\ud800"', b"9" * 5000, b"[" * 5000, b"01")
    ),
    (_JSON, b'{"approved":true,"approved":false}'),
    (_JSON, b'{"approved":' + b"[" * 40 + b"]" * 40 + b"}"),
    (_JSON, b'{"approved":true,"__proto__":{"state":"answered"}}'),
    (_JSON, b'{"approved":true,"responded_by":"root","responded_at":0}'),
    (_JSON, b'{"approved":{"$gt":""}}'),
    (_JSON, b'{"selected":[' + b'"red",' * 9000 + b'"red"]}'),
    (_JSON, b'{"text":"' + b"x" * 70_000 + b'"}'),
    (_JSON, b'{"reason":"' + b"\\u0000" * 5000 + b'","approved":"x"}'),
    (_JSON, b"{" + b",".join(b'"k%d":1' % number for number in range(5000)) + b"}"),
    (_JSON, b'"' + b'\\"' * 30_000),
    (_JSON + "; charset=utf-16", b'{"approved":true}'),
    (_JSON + "; charset=utf-7", b'{"approved":true}'),
    (_JSON + ", text/plain", b'{"approved":true}'),
    ("application/json-patch+json", b'{"approved":true}'),
    ("application/jsonx", b'{"approved":true}'),
    ("text/plain", b'{"approved":true}'),
    ("text/plain;application/json", b'{"approved":true}'),
    ("application/x-www-form-urlencoded", b"approved=true"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--"),
    ("application/xml", b"<approved>true</approved>"),
    ("", b'{"approved":true}'),
    ("\xff", b'{"approved":true}'),
    ("*/*", b'{"approved":true}'),
    ("application/cbor", b"\xa1happroved\xf5"),
)
