"""Format strings over pseudo-variables (documentation 1.3.3, 1.3.4, 1.3.17)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds_farm.config import resolve
from ds_farm.config.dispatcher import DispatcherConfig
from ds_farm.errors import ConfigError
from ds_farm.script._request import Request
from ds_farm.script.pvars import NAMED, VARIABLES, compile_format, compile_setter
from ds_farm.script.settings import avp_name, script_settings, unknown_variables
from tests.support.message import Draft
from tests.support.request import Script


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    with Script({1: ["sip:gw@192.0.2.1:5077"]}) as made:
        yield made


def _message(script: Script) -> Draft:
    message = script.message("INFO", "sip:+491:pw@example.com:5071;x=y")
    message.set("From", '"C" <sip:carol@f.example.net>;tag=ft7').set(
        "To", "<sips:dan@[2001:db8::5]>"
    )
    message.set("Call-ID", "c1@h").set("CSeq", "77 INFO")
    message.add("Authorization", 'Digest username="bob", realm="r"')
    message.add("m", "<sip:carol@198.51.100.7>")
    message.add("User-Agent", "Phone/1.0 (x)").add("X-Two", "first").add("X-Two", "second")
    return message


VALUES = {
    "$ci": "c1@h",
    "$cs": "77",
    "$rm": "INFO",
    "$ru": "sip:+491:pw@example.com:5071;x=y",
    "$rU": "+491",
    "$rd": "example.com",
    "$rp": "5071",
    "$ou": "sip:+491:pw@example.com:5071;x=y",
    "$oU": "+491",
    "$od": "example.com",
    "$op": "5071",
    "$fn": "C",
    "$tn": "",
    "$Ri": "127.0.0.1",
    "$Rp": "5060",
    "$fs": "",
    "$pr": "udp",
    "$au": "bob",
    "$ar": "r",
    "$(hdr(X-Two)[1])": "second",
    "$(hdr(X-Two)[-1])": "second",
    "$(hdr(X-Two)[2])": "",
    "$(avp(mine)[0])": "17",
    "$(fU{s.substr,0,3})": "car",
    "$(hdr(X-Two)[1]{s.toupper})": "SECOND",
    "$(ru{uri.host}{s.len})": "11",
    "$(fU{s.substr,$var(one),1})": "a",
    "$avp(s:mine)": "17",
    "$fu": "sip:carol@f.example.net",
    "$fU": "carol",
    "$fd": "f.example.net",
    "$ft": "ft7",
    "$tu": "sips:dan@[2001:db8::5]",
    "$tU": "dan",
    "$td": "[2001:db8::5]",
    "$tt": "",
    "$du": "sip:gw@192.0.2.1:5077",
    "$dd": "192.0.2.1",
    "$dp": "5077",
    "$si": "198.51.100.7",
    "$sp": "5070",
    "$ua": "Phone/1.0 (x)",
    "$rb": "",
    "$mb": "",
    "$ct": "<sip:carol@198.51.100.7>",
    "$cT": "",
    "$rs": "",
    "$rr": "",
    "$T_reply_code": "0",
    "$hdr(X-Two)": "first",
    "$hdr(x-two)": "first",
    "$hdr(X-None)": "",
    "$avp(mine)": "17",
    "$avp(none)": "",
    "$var(v)": "text",
    "$var(none)": "",
    "$stat(none)": "",
    "$stat(calls)": "2",
    "$(ci)": "c1@h",
    "$(hdr(X-Two))": "first",
    "$(avp(mine))": "17",
    "$avp( mine )": "17",
}


@pytest.mark.parametrize("text", VALUES)
def test_each_variable(script: Script, text: str) -> None:
    def route(request: Request) -> str:
        request.avp["mine"], request.var["v"], request.var["one"] = 17, "text", 1
        request.reset_stat("calls")
        request.update_stat("calls", "+2")
        request.ds_select_dst("1", "8")
        return compile_format(text)(request)

    message = _message(script)
    expected = message.bytes().decode() if text == "$mb" else VALUES[text]
    assert script.run(route, message) == expected


def test_every_variable_is_tested() -> None:
    assert {f"${name}" for name in VARIABLES} <= VALUES.keys()
    assert {name for name in NAMED if any(f"${name}(" in text for text in VALUES)} == NAMED.keys()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hash the $fU@$ci", "hash the carol@c1@h"),  # example 1.4
        ("", ""),
        ("plain", "plain"),
        ("$$", "$"),
        ("$$ci", "$ci"),
        ("a$$b$(rU)c", "a$b+491c"),
        ("$rU$rU", "+491+491"),
        ("$fU:$hdr(X-Two);", "carol:first;"),
    ],
)
def test_formats(script: Script, text: str, value: str) -> None:
    assert script.run(compile_format(text), _message(script)) == value


def test_what_a_request_does_not_have_is_empty(script: Script) -> None:
    for text in ("$du", "$dd", "$dp", "$ua", "$rb"):
        assert script.run(compile_format(text)) == ""
    assert script.run(compile_format("$rp")) == "5060", "without port the default one"
    assert script.run(compile_format("$rU"), script.message(uri="sip:example.com")) == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("$nope", "unknown variable '$nope'"),
        ("$fU and $xyz(1)", "unknown variable '$xyz(1)'"),
        ("$ci(x)", "unknown variable '$ci(x)'"),
        ("$avp", "unknown variable '$avp'"),
        ("$avp()", "unknown variable '$avp()'"),
        ("$hdr( )", "unknown variable '$hdr( )'"),
        ("$", "no variable after the $ at column 1"),
        ("price: 5$", "no variable after the $ at column 9"),
        ("$(fU{nope})", "the transformation {nope} is not there"),
        ("$(fU{s.substr,1})", "{s.substr} takes 2 arguments, got 1"),
        ("$(ci[1])", "unknown variable '$(ci[1])'"),
        ("$(hdr(X)[*])", "unknown variable '$(hdr(X)[*])'"),
        ("$(fU x)", "'x' is no index"),
        ("$ ci", "no variable after the $ at column 1"),
        ("$(ci", "no variable after the $ at column 1"),
        ("$ci $(x", "no variable after the $ at column 5"),
    ],
)
def test_mistakes_are_named_at_once(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_format(text)
    assert complaint in str(caught.value)


def test_an_unknown_variable_is_told_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_format("$nope")
    assert all(f"${name}" in str(caught.value) for name in [*VARIABLES, *NAMED])


@given(st.text(st.sampled_from("$()ciavphdr x1%"), max_size=20))
def test_any_text_is_a_format_or_an_error_of_ours(text: str) -> None:
    try:
        compile_format(text)
    except ConfigError:
        wrong = True
    else:
        wrong = False
    assert "$" in text or not wrong


# -- what can be assigned to


@pytest.mark.parametrize("text", ["$var(x)", " $avp(x) ", "$(var(x))", "$avp( x )"])
def test_setters(script: Script, text: str) -> None:
    def route(request: Request) -> object:
        compile_setter(text)(request, 5)
        return (request.var if "var" in text else request.avp)["x"]

    assert script.run(route) == 5


@pytest.mark.parametrize(
    "text", ["", "x", "$ru", "$hdr(x)", "$var", "$var()", "$var(x)y", "$nope(x)"]
)
def test_setters_refuse(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected \$avp\(name\) or \$var\(name\)"):
        compile_setter(text)


# -- the parameters that are formats


def _config(**parameters: str) -> DispatcherConfig:
    return DispatcherConfig.model_validate({"db_url": "sqlite:////f", **parameters})


@pytest.mark.parametrize("parameter", ["hash_pvar", "pvar_algo_pattern"])
def test_an_unknown_variable_names_its_parameter(parameter: str) -> None:
    config = _config(**{parameter: "$nope"})
    with pytest.raises(ConfigError, match=rf"^{parameter}: unknown variable '\$nope'"):
        script_settings(config, resolve(config))
    assert [name for name, _ in unknown_variables(config)] == [parameter]
    assert list(unknown_variables(_config(**{parameter: "$ci"}))) == []


def test_parameters_become_functions(script: Script) -> None:
    """Examples 1.3, 1.4 and 1.5; %u of pvar_algo_pattern is the destination's URI."""
    config = _config(
        hash_pvar="hash the $fU@$ci", setid_pvar="$var(setid)", pvar_algo_pattern="$var(load_%u)"
    )
    settings = script_settings(config, resolve(config))

    def route(request: Request) -> list[object]:
        assert settings.hash_text is not None
        assert settings.set_setid is not None
        assert settings.load is not None
        request.var["load_sip:a"], request.var["load_sip:b"] = 7, "x"
        request.var["load_sip:c"], request.var["load_sip:e"] = " 2.5 ", "nan"
        settings.set_setid(request, 3)
        loads = [
            settings.load(request, uri) for uri in ("sip:a", "sip:b", "sip:c", "sip:d", "sip:e")
        ]
        return [settings.hash_text(request), request.var["setid"], *loads]

    expected = ["hash the carol@c1@h", 3, 7.0, None, 2.5, 0.0, None]
    assert script.run(route, _message(script)) == expected
    nothing = script_settings(_config(), resolve(_config()))
    assert (nothing.hash_text, nothing.load, nothing.set_setid) == (None, None, None)


def test_a_pattern_without_percent_u_is_one_variable_for_all(script: Script) -> None:
    config = _config(pvar_algo_pattern="$cs")
    settings = script_settings(config, resolve(config))
    assert settings.load is not None
    load = settings.load
    found = script.run(lambda r: [load(r, "sip:a"), load(r, "sip:b")], _message(script))
    assert found == [77.0, 77.0]


def test_names_of_avps() -> None:
    assert avp_name("$avp(271)") == "271"
    assert avp_name("$avp( ds_dst_failover )") == "ds_dst_failover"
