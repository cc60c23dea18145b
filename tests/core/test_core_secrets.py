import pytest
from cryptography.fernet import Fernet

from core import secrets


@pytest.fixture
def keys(settings):
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode() for _ in range(2)]
    return settings.ENCRYPTION_KEYS


def test_what_was_encrypted_comes_back_and_looks_like_nothing(keys):
    token = secrets.encrypt(b"very secret")

    assert secrets.decrypt(token) == b"very secret"
    assert b"secret" not in token
    assert secrets.encrypt(b"very secret") != token


def test_an_old_key_still_reads_and_rotation_makes_it_superfluous(keys, settings):
    old, new = keys
    settings.ENCRYPTION_KEYS = [old]
    token = secrets.encrypt(b"very secret")

    settings.ENCRYPTION_KEYS = [new, old]
    rotated = secrets.rotate(token)
    settings.ENCRYPTION_KEYS = [new]

    assert secrets.decrypt(rotated) == b"very secret"
    with pytest.raises(secrets.Unreadable, match="TOLLKEEPER_ENCRYPTION_KEYS"):
        secrets.decrypt(token)
    with pytest.raises(secrets.Unreadable):
        secrets.rotate(token)


@pytest.mark.parametrize("bad", [[], ["short"], ["not base64 at all, is it?"]])
def test_without_a_usable_key_the_variable_is_named(settings, bad):
    settings.ENCRYPTION_KEYS = bad

    with pytest.raises(secrets.KeysMissing, match="TOLLKEEPER_ENCRYPTION_KEYS"):
        secrets.encrypt(b"x")


def test_a_damaged_text_is_told_apart(keys):
    with pytest.raises(secrets.Unreadable):
        secrets.decrypt(secrets.encrypt(b"x")[:-4])
