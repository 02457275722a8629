"""Bodies that are no JSON, hide one member behind another, or are nested too deeply."""

import json
from collections.abc import Iterator

from tests.gateway.relay.odd_body import CHAT, OddBody, accepted, chat, chat_of, chat_with, refused


def not_json() -> Iterator[OddBody]:
    ordinary = json.dumps(chat())
    bodies: dict[str, bytes] = {
        "an empty body": b"",
        "blanks only": b" \r\n\t",
        "an array": b"[]",
        "an array of requests": f"[{ordinary}]".encode(),
        "a string": b'"hi"',
        "a number": b"1",
        "null": b"null",
        "a truncated object": ordinary[:-1].encode(),
        "a truncated string": b'{"model":"de',
        "a trailing comma": chat_with(b'"n":1,'),
        "a leading comma": b'{,"model":"demo/chat"}',
        "two objects": f"{ordinary}{ordinary}".encode(),
        "two objects on two lines": f"{ordinary}\n{ordinary}".encode(),
        "trailing letters": f"{ordinary}x".encode(),
        "a trailing NUL": f"{ordinary}\0".encode(),
        "a leading form feed": f"\f{ordinary}".encode(),
        "a leading no-break space": f"\u00a0{ordinary}".encode(),
        "a byte order mark": f"\ufeff{ordinary}".encode(),
        "UTF-16 with a mark": ordinary.encode("utf-16"),
        "UTF-16 without a mark": ordinary.encode("utf-16-le"),
        "UTF-16 big-endian": ordinary.encode("utf-16-be"),
        "UTF-32": ordinary.encode("utf-32"),
        "Latin-1": json.dumps(chat(user="é"), ensure_ascii=False).encode("latin-1"),
        "an overlong slash": chat_with(b'"x":"\xc0\xaf"'),
        "a CESU-8 surrogate": chat_with(b'"x":"\xed\xa0\x80"'),
        "a byte beyond Unicode": chat_with(b'"x":"\xf5\x80\x80\x80"'),
        "half of a surrogate pair": chat_with(b'"x":"\\ud800"'),
        "half of a pair in the prompt": b'{"model":"demo/chat","messages":[{"role":"user","content":"\\udc00"}]}',
        "a pair the wrong way round": chat_with(b'"x":"\\ude00\\ud83d"'),
        "a raw control character": chat_with(b'"x":"a\nb"'),
        "a raw NUL in a string": chat_with(b'"x":"a\0b"'),
        "an escape that is none": chat_with(b'"x":"\\x41"'),
        "a short escape": chat_with(b'"x":"\\u12"'),
        "single quotes": b"{'model':'demo'}",
        "a bare name": b'{model:"demo"}',
        "a comment": chat_with(b'"n":/* one */1'),
        "NaN": chat_with(b'"temperature":NaN'),
        "Infinity": chat_with(b'"temperature":Infinity'),
        "minus Infinity": chat_with(b'"temperature":-Infinity'),
        "a leading zero": chat_with(b'"n":01'),
        "a plus sign": chat_with(b'"n":+1'),
        "a bare point": chat_with(b'"temperature":.5'),
        "a point at the end": chat_with(b'"temperature":1.'),
        "an exponent without digits": chat_with(b'"temperature":1e'),
        "hexadecimal": chat_with(b'"n":0x1'),
        "capital True": chat_with(b'"stream":True'),
        "a form field": b"model=demo&prompt=hi",
        "a multipart body": b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\ndemo\r\n--x--\r\n',
        "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    }
    for name, body in bodies.items():
        yield refused(name, CHAT, body, "invalid_json")


def hidden_members() -> Iterator[OddBody]:
    for name, value, other in (
        ("model", b'"demo"', b'"dear"'),
        ("messages", b"[]", b'[{"role":"user","content":"hi"}]'),
        ("max_tokens", b"1", b"100000"),
        ("max_tokens", b"1", b"12"),
        ("max_completion_tokens", b"5", b"50000"),
        ("n", b"1", b"128"),
        ("stream", b"false", b"true"),
        ("cache_salt", b'"a"', b'"b"'),
        ("unknown", b"1", b"1"),
    ):
        pair = b'"%s":%s,"%s":%s' % (name.encode(), value, name.encode(), other)
        yield refused(f"{name} twice, {other.decode()} last", CHAT, chat_with(pair), "invalid_json")
        turned = b'"%s":%s,"%s":%s' % (name.encode(), other, name.encode(), value)
        yield refused(f"{name} twice, {other.decode()} first", CHAT, chat_with(turned), "invalid_json")
    for text in (
        rb'"max\u005ftokens":100000',
        rb'"\u006d\u0061\u0078_tokens":100000',
        rb'"max_tokens":1,"max\u005ftokens":100000',
        rb'"n\u0000":5',
        rb'"use_beam\u005fsearch":true',
        rb'"a\"b":1',
        rb'"best_of\u0020":5',
    ):
        yield refused(f"an escaped name: {text.decode()}", CHAT, chat_with(text), "invalid_json")
    yield accepted("a name in capitals is another name", CHAT, chat_with(b'"MAX_TOKENS":100000'), max_output_asked=None)
    yield accepted(
        "a name with a blank is another name", CHAT, chat_with(b'"max_tokens ":100000'), max_output_asked=None
    )
    yield accepted(
        "a name that looks alike is another one",
        CHAT,
        chat_with('"m\u0430x_tokens":100000'.encode()),
        max_output_asked=None,
    )
    yield accepted("an empty name", CHAT, chat_with(b'"":1'), max_output_asked=None)
    yield accepted("members within text", CHAT, chat(x='","max_tokens":99999,"y":"'), max_output_asked=None)
    yield accepted(
        "members within an object", CHAT, chat(x={"max_tokens": 99999, "n": 128}), sequences=1, max_output_asked=None
    )
    yield accepted(
        "blanks everywhere", CHAT, b' \n{ "model"\t:\r"demo" , "messages" : [ { "role":"user","content":"x" } ] } \n'
    )
    yield refused("a message's content twice", CHAT, chat_of(b'"role":"user","content":"a","content":"b"'))
    yield refused("a message's content twice, media last", CHAT, chat_of(b'"role":"user","content":"a","content":[]'))
    yield refused("an escaped name in a message", CHAT, chat_of(rb'"role":"user","c\u006fntent":"b"'))


def deep() -> Iterator[OddBody]:
    for depth, code in (
        (129, "invalid_value"),
        (500, "invalid_value"),
        (10_000, "invalid_json"),
        (200_000, "invalid_json"),
    ):
        for name, start, end in (("lists", b"[", b"]"), ("objects", b'{"a":', b"}")):
            deep = start * depth + (b"1" if name == "objects" else b"") + end * depth
            yield refused(f"{depth} {name} deep", CHAT, chat_with(b'"x":' + deep), code)
            yield refused(f"{depth} {name} deep in tools", CHAT, chat_with(b'"tools":' + deep), code)
            yield refused(f"{depth} {name} deep in a message", CHAT, chat_of(b'"role":"user","x":' + deep), code)
    yield accepted("as deep as allowed", CHAT, chat_with(b'"x":' + b"[" * 128 + b"]" * 128))
    yield accepted("brackets in text are not depth", CHAT, chat(x=["[" * 10_000 + '\\"' + "{" * 10_000]))
