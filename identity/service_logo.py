"""The service's logo: a picture of points, never a drawing, as an SVG could carry a script.

Browsers keep it for ever by its digest: another picture has another address.
"""

from dataclasses import dataclass
from hashlib import sha256

from django.utils.translation import gettext as _

from identity.errors import Invalid, NotFound
from identity.models import Service
from identity.operators import Operator
from identity.permissions import OperatorPermission
from identity.service import write_service

BYTES_MAX = 200_000
SIDE_MAX = 2_000  # points: a small file may still hold a picture that fills a reader's memory
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture and its media type."""

    content: bytes
    media_type: str


def set_logo(*, by: Operator, content: bytes) -> bool:
    """Show this picture, PNG or WebP, instead of our own. False where it is shown. Raises `Forbidden`, `Invalid`."""
    by.require(OperatorPermission.PLATFORM_OPERATE)
    if len(content) > BYTES_MAX:
        raise Invalid("logo", _("must have at most %(count)d kB") % {"count": BYTES_MAX // 1000})
    media_type = _media_type(content)
    digest = sha256(content).hexdigest()
    return write_service(by=by, values={"logo_digest": digest}, beside={"logo": content, "logo_type": media_type})


def remove_logo(*, by: Operator) -> bool:
    """Show our own picture again. False where it was so before. Raises `Forbidden`."""
    by.require(OperatorPermission.PLATFORM_OPERATE)
    return write_service(by=by, values={"logo_digest": ""}, beside={"logo": None, "logo_type": ""})


def logo_by_digest(digest: str) -> Logo:
    """The picture of that digest, while it is the one that is shown. Raises `NotFound`."""
    row = Service.objects.filter(logo_digest=digest).exclude(logo_digest="").values("logo", "logo_type").first()
    if row is None or row["logo"] is None:
        raise NotFound("logo")
    return Logo(bytes(row["logo"]), row["logo_type"])


def _media_type(content: bytes) -> str:
    """By what the file begins with, whatever it is called. Raises `Invalid`."""
    if content.startswith(_PNG):
        sides = [int.from_bytes(content[place : place + 4], "big") for place in (16, 20)]
        if len(content) < 33 or not all(0 < side <= SIDE_MAX for side in sides):
            raise Invalid("logo", _("must have at most %(count)d points a side") % {"count": SIDE_MAX})
        return "image/png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and content[12:16] in (b"VP8 ", b"VP8L", b"VP8X"):
        if not all(0 < side <= SIDE_MAX for side in _sides_of_webp(content)):
            raise Invalid("logo", _("must have at most %(count)d points a side") % {"count": SIDE_MAX})
        return "image/webp"
    raise Invalid("logo", _("must be a PNG or a WebP picture"))


def _sides_of_webp(content: bytes) -> tuple[int, int]:
    """Width and height in points, 0 where the file ends before them (RFC 9649, 2.5 to 2.7)."""
    kind, rest = content[12:16], content[20:30]
    if len(rest) < 10:
        return 0, 0
    if kind == b"VP8X":
        return int.from_bytes(rest[4:7], "little") + 1, int.from_bytes(rest[7:10], "little") + 1
    if kind == b"VP8L":
        packed = int.from_bytes(rest[1:5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    return int.from_bytes(rest[6:8], "little") & 0x3FFF, int.from_bytes(rest[8:10], "little") & 0x3FFF
