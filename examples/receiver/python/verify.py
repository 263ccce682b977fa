import base64
import hashlib
import hmac
import json
import re
import time

TOLERANCE = 300  # seconds, in both directions


def parse_secrets(text):
    """One "whsec_…" or, around a rotation, several with commas."""
    secrets = text.split(",")
    for secret in secrets:
        if not secret.startswith("whsec_") or len(_key(secret)) < 24:
            raise ValueError("want secrets such as whsec_…")
    return secrets


def verify(headers, body, secrets):
    """Check a delivery by its webhook-… headers and return its id. The same id is the same message again."""
    id, timestamp = headers.get("webhook-id") or "", headers.get("webhook-timestamp") or ""
    signed = f"{id}.{timestamp}.".encode() + body
    wanted = [b"v1," + base64.b64encode(hmac.digest(_key(s), signed, hashlib.sha256)) for s in secrets]
    given = (headers.get("webhook-signature") or "").encode().split(b" ")
    _check(given, wanted, timestamp)
    return id


def verify_doorflow(headers, body, secrets):
    """Check it by Timestamp and Signature, as DoorFlow's own webhooks are checked.

    They do not cover the webhook-id header, so the id is the body's.
    """
    timestamp = headers.get("Timestamp") or ""
    signed = f"{timestamp}.".encode() + body
    wanted = [hmac.new(s.encode(), signed, hashlib.sha256).hexdigest().encode() for s in secrets]
    _check([(headers.get("Signature") or "").encode()], wanted, timestamp)
    return json.loads(body)["id"]


def _key(secret):
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


def _check(given, wanted, timestamp):
    # In constant time, and all of them: how long it takes does not tell what fits.
    fits = [hmac.compare_digest(g, w) for g in given for w in wanted]
    if not any(fits):
        raise ValueError("no signature fits the body and the secrets")
    if not re.fullmatch("[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE:
        raise ValueError("the timestamp is too far from now")
