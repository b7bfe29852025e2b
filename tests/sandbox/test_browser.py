from urllib.parse import urlsplit

import pytest
from flask import Flask, redirect, request

from gateway.sandbox.browser import Browser, BrowserError, Jar
from gateway.sandbox.loopback import running

HERE = urlsplit("http://127.0.0.1:5000/a/b")


def sent(line, url=HERE, *, cross_site=False, method="GET", at=HERE):
    jar = Jar()
    jar.take(at, line)
    return jar.line(url, cross_site=cross_site, method=method)


@pytest.mark.parametrize(
    "line",
    [
        "a=1; Secure",
        "__Host-a=1; Path=/; Secure; Partitioned; SameSite=None",
        "a=1; Path=/a",
        "a=1; Max-Age=60",
        "a=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
    ],
)
def test_loopback_keeps_a_lawful_cookie(line):
    assert sent(line).endswith("a=1")


@pytest.mark.parametrize(
    "line",
    [
        "a=1; SameSite=None",
        "__Host-a=1; Secure; Path=/a",
        "__Host-a=1; Path=/",
        "__Secure-a=1",
        "a=1; Partitioned",
        "a=1; Domain=evil.example",
        "a=1; Max-Age=0",
        "a=1; Path=/elsewhere",
    ],
)
def test_an_unlawful_or_spent_cookie_is_not_sent(line):
    assert sent(line) == ""


def test_cookies_stay_with_their_origin_and_cross_sites_by_the_rules():
    assert sent("a=1", urlsplit("http://127.0.0.1:5001/a/b")) == ""
    assert sent("a=1; Secure", at=urlsplit("http://lms.example/a/b")) == ""
    for same_site, get, post in (("Strict", False, False), ("Lax", True, False), ("None", True, True)):
        line = f"a=1; Secure; SameSite={same_site}"
        assert bool(sent(line, cross_site=True)) == get
        assert bool(sent(line, cross_site=True, method="POST")) == post


def build(_url):
    app = Flask("pages")

    @app.get("/")
    def form():
        return """<a href="/next"><b>Go</b> on</a><form method="post" action="/take?x=1">
        <input name="a" value="1"><input type="checkbox" name="c" value="x" checked>
        <input type="checkbox" name="c" value="y" checked><input type="checkbox" name="d">
        <select name="s"><option value="1">one<option value="2" selected>two</select>
        <textarea name="t">words</textarea><button name="do" value="save">Save</button>
        <button name="do" value="drop">Drop it</button></form><form data-auto></form>"""

    @app.post("/take")
    def take():
        return {k: request.form.getlist(k) for k in request.form}

    @app.route("/hop/<int:status>", methods=["GET", "POST"])
    def hop(status):
        return redirect("/end", status)

    @app.route("/end", methods=["GET", "POST"])
    def end():
        return f"{request.method} {request.form.get('a', '')}"

    @app.get("/loop")
    def loop():
        return redirect("/loop")

    @app.get("/script/<int:status>")
    def script(status):
        return f"""<form method="post" action="/hop/{status}"><input name="a" value="1"></form>
        <script>document.forms[0].submit()</script>"""

    return app


def test_forms_links_and_redirects_work_as_in_a_browser():
    with running(build) as url, Browser() as browser:
        browser.get(url)
        page = browser.submit("Drop", a="2", c=["z"])
        assert page.text.replace(" ", "") == ('{"a":["2"],"c":["z"],"do":["drop"],"s":["2"],"t":["words"]}\n')
        browser.get(url)
        assert browser.click("Go on").status == 404
        for status, end in ((302, "GET "), (303, "GET "), (307, "POST 1"), (308, "POST 1")):
            assert browser.get(f"{url}/script/{status}").text.strip() == end.strip()
        assert [p.method for p in browser.history[-3:]] == ["GET", "POST", "POST"]
        with pytest.raises(BrowserError):
            browser.get(f"{url}/loop")
        with pytest.raises(BrowserError):
            browser.click("nothing")
