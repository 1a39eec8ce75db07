"""DigiCert. Pages: https://dev.digicert.com/en/certcentral-apis/services-api/errors.html and those named
in `providers/digicert.py`. They do not show what a wrong key, a wrong state or a second cancel gets."""

from __future__ import annotations

from providers.contract import OrderState, Result, Standing
from providers.digicert import DigiCert
from providers.http import Answer, NoAnswer
from tests.providers.examples.exchange import (
    NOT_SENT,
    TOO_LATE,
    Example,
    Examples,
    says_json,
    says_text,
)

ID = "123456"
ORDER, STATUS, USER = f"/order/certificate/{ID}", f"/order/certificate/{ID}/status", "/user/me"
SERIAL = "70481923"
PENDING = OrderState(Standing.CANCELLABLE, "pending")
DONE = says_text("", 204)
CERTIFICATE: dict[str, object] = {
    "common_name": "example.com",
    "dns_names": ["example2.com", "example3.com"],
    "date_created": "2018-10-16T20:05:28+00:00",
    "csr": "<csr>",
    "organization": {"id": 112233},
    "organization_units": ["Not Fake Company Inc."],
    "server_platform": {
        "id": -1,
        "name": "OTHER",
        "install_url": "http://www.digicert.com/SSL-certificate-installation.htm",
        "csr_url": "http://www.digicert.com/csr-creation.htm",
    },
    "signature_hash": "sha256",
    "key_size": 2048,
    "ca_cert": {"id": "<cert_id>", "name": "DigiCert SHA2 Secure Server CA"},
}
ISSUED: dict[str, object] = {
    "id": 112339,
    "thumbprint": "7D199FA96A0EA1D3A5AA2B3D5B0AD1F6EF0A6F5C",
    "serial_number": "04A1B2C3D4E5F60718293A4B5C6D7E8F",
    "date_issued": "2018-10-20T00:00:00+00:00",
    "valid_from": "2018-10-20",
    "valid_till": "2020-10-24",
    "days_remaining": 200,
}


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    return says_json({"errors": [{"code": code, "message": message}]}, status, **headers)


def order(status: str, *, issued: bool = False) -> Answer:
    certificate = CERTIFICATE | (ISSUED if issued else {})
    return says_json({"id": 123456, "certificate": certificate, "status": status})


def cancel(name: str, answer: Answer | NoAnswer, reads: Result, says: str, *, shown: bool = True) -> Example:
    return Example(f"cancel: {name}", "cancel", ID, STATUS, answer, reads, says, PENDING, shown)


def look_up(name: str, answer: Answer, reads: Standing, says: str, *, shown: bool = True) -> Example:
    return Example(f"look-up: {name}", "look_up", ID, ORDER, answer, reads, says, shown=shown)


def check(name: str, answer: Answer, reads: bool | None, says: str, *, shown: bool = True) -> Example:
    return Example(f"check: {name}", "check", ID, USER, answer, reads, says, shown=shown)


JOHN = {
    "id": 125039,
    "username": "john.smith@digicert.com",
    "account_id": 123654,
    "first_name": "John",
    "last_name": "Smith",
    "email": "john.smith@digicert.com",
    "job_title": "Sys Admin",
    "telephone": "555-555-5555",
    "status": "active",
    "last_login_date": "2019-06-21 13:37:00",
    "container": {"id": 5, "name": "My Account", "parent_id": 0, "is_active": True},
    "access_roles": [{"id": 1, "name": "Administrator"}],
    "is_cert_central": True,
    "is_enterprise": True,
    "is_saml_sso_only": False,
    "type": "standard",
}
LIMITED_USER = {
    "id": 7,
    "username": "bot@example.com",
    "account_id": 3,
    "status": "active",
    "access_roles": [{"id": 2, "name": "Limited user"}],
}
TOO_MANY = "Service unavailable, please limit request volume"
LIMIT = error(429, "request_limit_exceeded", TOO_MANY)
NO_ORDER = error(404, "not_found|order", "The specified order was not found.")
NO_KEY = error(401, "invalid_api_key", "The API key is not valid.")
NO_PERMISSION = error(
    403,
    "access_denied|missing_permission",
    "The API key you are using does not have permission to carry out the request.",
)
NOT_NOW = error(400, "invalid_order_status", "The order status does not allow this action.")

CANCELS = (
    # Three things that look the same: the order tells them apart.
    cancel("done", DONE, Result.ACCEPTED, "read again"),
    cancel("done, with the status in capitals", DONE, Result.ACCEPTED, "read again"),
    cancel("only a reissue dropped", DONE, Result.ACCEPTED, "read again"),
    cancel("no such order", NO_ORDER, Result.REFUSED, "no such order"),
    cancel(
        "wrong address",
        error(404, "not_found", "Make sure the endpoint URL is properly constructed."),
        Result.REFUSED,
        "DIGICERT_BASE_URL",
    ),
    cancel(
        "no such route",
        error(404, "not_found|route", "The endpoint does not exist."),
        Result.REFUSED,
        "DIGICERT_BASE_URL",
    ),
    cancel("no permission", NO_PERMISSION, Result.REFUSED, "View Only"),
    cancel(
        "malformed",
        error(400, "bad_request_format", "The request body is malformed."),
        Result.UNKNOWN,
        "malformed",
    ),
    cancel("limit", LIMIT, Result.NO_EFFECT, "too many calls"),
    cancel(
        "limit, with a time to wait",
        error(429, "request_limit_exceeded", TOO_MANY, retry_after="5"),
        Result.NO_EFFECT,
        "too many calls",
        shown=False,
    ),
    cancel("wrong key, 401", NO_KEY, Result.REFUSED, "DIGICERT_API_KEY", shown=False),
    cancel(
        "wrong key, 403",
        error(403, "access_denied", "Access denied."),
        Result.REFUSED,
        "DIGICERT_API_KEY",
        shown=False,
    ),
    cancel("cancelled before", NOT_NOW, Result.UNKNOWN, "does not allow", shown=False),
    cancel("issued before", NOT_NOW, Result.UNKNOWN, "does not allow", shown=False),
    cancel(
        "no note",
        error(400, "missing_required_field", "note is required."),
        Result.UNKNOWN,
        "note",
        shown=False,
    ),
    cancel("500", error(500, "internal_error", "An error occurred."), Result.UNKNOWN, "500", shown=False),
    cancel(
        "502 page",
        says_text("<html><body><h1>502 Bad Gateway</h1></body></html>", 502),
        Result.UNKNOWN,
        "502",
        shown=False,
    ),
    cancel("no connection", NOT_SENT, Result.NO_EFFECT, "Nothing was sent", shown=False),
    cancel("no answer", TOO_LATE, Result.UNKNOWN, "in time", shown=False),
)

LOOK_UPS = (
    look_up("pending", order("pending"), Standing.CANCELLABLE, "not issued yet"),
    look_up("waiting for pickup", order("waiting_pickup"), Standing.CANCELLABLE, "not issued yet"),
    look_up("canceled", order("canceled"), Standing.CANCELLED, "canceled"),
    look_up(
        "reissue", order("reissue_pending", issued=True), Standing.NOT_CANCELLABLE, "drop only the reissue"
    ),
    look_up("needs approval", order("needs_approval"), Standing.NOT_CANCELLABLE, "Reject its request"),
    look_up("needs a CSR", order("needs_csr"), Standing.NOT_CANCELLABLE, "CSR"),
    look_up("processing", order("processing"), Standing.NOT_CANCELLABLE, "processed"),
    look_up("issued", order("issued", issued=True), Standing.NOT_CANCELLABLE, "Too late"),
    look_up("rejected", order("rejected"), Standing.NOT_CANCELLABLE, "rejected"),
    look_up("revoked", order("revoked", issued=True), Standing.NOT_CANCELLABLE, "revoked"),
    look_up("expired", order("expired", issued=True), Standing.NOT_CANCELLABLE, "expired"),
    look_up("a state unheard of", order("quantum_hold"), Standing.UNCLEAR, "does not know", shown=False),
    look_up("no such order", NO_ORDER, Standing.NOT_FOUND, "no such order"),
    look_up("no permission", NO_PERMISSION, Standing.UNREADABLE, "role"),
    look_up("limit", LIMIT, Standing.UNREADABLE, "too many calls"),
    Example(
        "look-up: asked by a serial number",
        "look_up",
        SERIAL,
        f"/order/certificate/{SERIAL}",
        order("issued", issued=True),
        Standing.UNCLEAR,
        "belongs to order 123456",
    ),
)

CHECKS = (
    check("administrator", says_json(JOHN), True, "Account 123654, role Administrator."),
    check("limited user", says_json(LIMITED_USER), True, "only the orders it placed itself", shown=False),
    check("wrong key", NO_KEY, False, "DIGICERT_API_KEY", shown=False),
)

DIGICERT = Examples(lambda http: DigiCert(http, "K3YK3YK3Y", "canceled"), {}, (*CANCELS, *LOOK_UPS, *CHECKS))
