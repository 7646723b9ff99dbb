"""The proxy on the way to a server, by the rules of Go's `net/http` and `httpproxy`."""

from __future__ import annotations

import pytest

from podagent.errors import KubeconfigError
from podagent.kubeconfig.proxy import proxy_of

PROXY = "http://proxy.example:3128"
NAME, V4, V6 = "https://api.example:6443", "https://10.1.2.3:6443", "https://[fd00::3]"


@pytest.mark.parametrize(
    ("server", "environ", "expected"),
    [
        (NAME, {}, ""),
        (NAME, {"HTTPS_PROXY": PROXY}, PROXY),
        (NAME, {"https_proxy": PROXY}, PROXY),
        (NAME, {"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, PROXY),
        (NAME, {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        (NAME, {"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, ""),
        ("http://api.example", {"HTTP_PROXY": PROXY}, PROXY),
        *((server, {"HTTPS_PROXY": PROXY}, "") for server in ("https://localhost", "https://127.9.9.9", "https://[::1]")),
    ],
)  # fmt: skip
def test_the_environment_names_it_for_all_but_this_host(server: str, environ: dict[str, str], expected: str) -> None:
    assert proxy_of(server, "", environ) == expected
    assert proxy_of(server, "http://of-the-kubeconfig", environ) == "http://of-the-kubeconfig"


@pytest.mark.parametrize(
    ("server", "no_proxy"),
    [
        *((NAME, each) for each in ("*", "example")),
        *((NAME, each) for each in ("api.example", "x, API.example", ".example", "*.example", "example:6443")),
        *((V4, each) for each in ("10.1.2.3", "10.0.0.0/8", "10.1.2.3:6443")),
        *((V6, each) for each in ("fd00::3", "fd00::/8", "[fd00::3]:443")),
    ],
)  # fmt: skip
def test_no_proxy_takes_a_server_out(server: str, no_proxy: str) -> None:
    assert proxy_of(server, "", {"HTTPS_PROXY": PROXY, "no_proxy": no_proxy}) == ""


@pytest.mark.parametrize(
    ("server", "no_proxy"),
    [
        *((NAME, each) for each in ("", ",", "pi.example", ".api.example", "example:443", "10.0.0.0/8", "api")),
        *((V4, each) for each in ("10.1.2", "11.0.0.0/8", "10.1.2.3:443", "fd00::/8", ".3")),
        *((V6, each) for each in ("fd00::4", "10.0.0.0/8")),
    ],
)
def test_no_proxy_for_others_does_not(server: str, no_proxy: str) -> None:
    assert proxy_of(server, "", {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == PROXY


@pytest.mark.parametrize("url", ["gopher://x", "socks5://x", "http://", "http://x:port", "http://x:0", "http://a b"])
def test_a_url_of_no_http_proxy_is_refused_rather_than_passed_by(url: str) -> None:
    with pytest.raises(KubeconfigError, match="proxy-url is not"):
        proxy_of(NAME, url, {})
    with pytest.raises(KubeconfigError, match="HTTPS_PROXY is not"):
        proxy_of(NAME, "", {"HTTPS_PROXY": url})
