"""Settings: environment before file, and a start that is refused with its reason where it would be unsafe."""

import pytest

from gateway.settings import UnsafeSettings, load

NAMES = ("SCHOOLGATE_URL", "SCHOOLGATE_INSTANCE", "DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL",
         "SCHOOLGATE_SANDBOX", "SCHOOLGATE_TRUSTED_PROXIES", "SCHOOLGATE_MAX_DELIVERY_MB")  # fmt: skip


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_nothing_said_is_a_safe_installation_on_loopback(tmp_path):
    found = load(tmp_path)
    assert (found.url, found.sandbox, found.trusted_proxies) == ("http://127.0.0.1:8080", False, 0)
    assert (found.database_url, found.redis_url, found.keys) == ("", "", tmp_path / "keys")


def test_the_environment_comes_before_the_file(tmp_path, monkeypatch):
    (tmp_path / "schoolgate.toml").write_text('url = "https://file.example/"\ntrusted_proxies = 1\n')
    assert (load(tmp_path).url, load(tmp_path).trusted_proxies) == ("https://file.example", 1)
    monkeypatch.setenv("SCHOOLGATE_URL", "https://said.example")
    assert (load(tmp_path).url, load(tmp_path).trusted_proxies) == ("https://said.example", 1)


def test_the_instance_folder_may_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SCHOOLGATE_INSTANCE", str(tmp_path / "other"))
    assert load().instance == tmp_path / "other"


UNSAFE = {
    "no https": ({"SCHOOLGATE_URL": "http://gateway.example"}, "need https"),
    "no scheme": ({"SCHOOLGATE_URL": "gateway.example"}, "bare https"),
    "another scheme": ({"SCHOOLGATE_URL": "ftp://gateway.example"}, "bare https"),
    "no host": ({"SCHOOLGATE_URL": "https://"}, "bare https"),
    "a password in the address": ({"SCHOOLGATE_URL": "https://me:hunter2@gateway.example"}, "bare https"),
    "a query in the address": ({"SCHOOLGATE_URL": "https://gateway.example/?a=b"}, "bare https"),
    "sandbox outside loopback": (
        {"SCHOOLGATE_URL": "https://gateway.example", "SCHOOLGATE_SANDBOX": "1"}, "loopback only",
    ),
    "another database": ({"DATABASE_URL": "mysql://me:hunter2@db/x"}, "postgresql"),
    "a port of a database that is none": ({"DATABASE_URL": "postgresql://me:hunter2@db:many/x"}, "DATABASE_URL"),
    "half an address of a database": ({"DATABASE_URL": "postgresql://me:hunter2@[::1/x"}, "DATABASE_URL"),
    "another database for the owner": ({"DATABASE_OWNER_URL": "mysql://me:hunter2@db/x"}, "DATABASE_OWNER_URL"),
    "a port of a cache that is none": ({"REDIS_URL": "redis://:hunter2@cache:many"}, "REDIS_URL"),
    "another cache": ({"REDIS_URL": "http://:hunter2@cache"}, "REDIS_URL"),
    "a number that is none": ({"SCHOOLGATE_TRUSTED_PROXIES": "many"}, "trusted_proxies"),
    "too many proxies": ({"SCHOOLGATE_TRUSTED_PROXIES": "6"}, "trusted_proxies"),
    "no room": ({"SCHOOLGATE_MAX_DELIVERY_MB": "0"}, "max_delivery_mb"),
    "a flag that is none": ({"SCHOOLGATE_SANDBOX": "perhaps"}, "sandbox"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSAFE)
def test_an_unsafe_start_is_refused_with_its_reason_and_no_secret(case, tmp_path, monkeypatch):
    said, reason = UNSAFE[case]
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnsafeSettings, match=reason) as refused:
        load(tmp_path)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["url = ", "surprise = 1", b"\xff\xfe", "url = 7"])
def test_a_file_that_does_not_fit_is_refused(text, tmp_path):
    (tmp_path / "schoolgate.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UnsafeSettings, match=r"schoolgate.toml|do not fit"):
        load(tmp_path)
