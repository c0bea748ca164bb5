"""A second recomputation, in another language, that keeps the oracle honest. Python 3 standard library only.

    python3 test/oracle/check.py --input FILE[.gz] --out DIR [--anonymous accept] [--lateness-ms N]
    node test/oracle/oracle.ts --input FILE[.gz] --out DIR ...     # then must print: oracle: 0 differences

Writes summary.json, features.ndjson, dead_letters.ndjson as contract.md asks. Run by hand: a fresh machine may lack
Python. The readings of the contract are numbered in oracle.ts; this file shares them, and no code.
"""
import argparse
import base64
import gzip
import json
import math
import os
import re
from collections import Counter, defaultdict

DAY = 86_400_000
COMMON = ("type", "event_id", "event_time", "user_id")
REQUIRED = {
    "page_view": "page_id",
    "impression": "ad_id campaign_id advertiser_id",
    "click": "ad_id campaign_id advertiser_id click_id",
    "add_to_cart": "advertiser_id", "checkout": "advertiser_id", "lead": "advertiser_id", "conversion": "advertiser_id",
    "consent": "", "erase": "",
}
FURTHER = {
    "page_view": "item_id referrer",
    "impression": "impression_id channel", "click": "impression_id channel",
    "add_to_cart": "item_id value pixel_id", "checkout": "item_id value pixel_id", "lead": "item_id value pixel_id",
    "conversion": "order_id click_id pixel_id value currency items source refund_of",
    "consent": "", "erase": "",
}
BAD_CHARACTER = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class Bad(Exception):
    pass


def refuse_constant(name):
    raise ValueError(name)


def depth(value):
    deepest, stack = 0, [(value, 1)]
    while stack:
        node, level = stack.pop()
        if isinstance(node, (dict, list)):
            deepest = max(deepest, level)
            stack += [(child, level + 1) for child in (node.values() if isinstance(node, dict) else node)]
    return deepest


def parse(raw):
    if len(raw) > 65_536:
        raise Bad("EVENT_TOO_LARGE", None)
    try:
        # A number is a double, as in JavaScript; float() also takes any number of digits.
        value = json.loads(raw.decode("utf-8"), parse_int=float, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise Bad("EVENT_JSON", None) from None
    if not isinstance(value, dict) or depth(value) > 64:
        raise Bad("EVENT_JSON", None)
    return {name: field for name, field in value.items() if field is not None}


def good(name, field):
    if name == "type":
        return isinstance(field, str) and field in REQUIRED
    if name == "event_time":
        return isinstance(field, float) and math.isfinite(field) and field == int(field) and 946_684_800_000 <= field <= 4_102_444_800_000
    if name == "value":
        return isinstance(field, float) and -9e9 <= field <= 9e9
    if name.endswith("_id") or name == "refund_of":
        return isinstance(field, str) and not BAD_CHARACTER.search(field) and 1 <= len(field.encode()) <= 128
    return True


def validate(raw, anonymous):
    event = parse(raw)
    kind = event.get("type") if isinstance(event.get("type"), str) else None
    required = REQUIRED.get(kind, "").split()
    for name in (*COMMON, *required):
        if name == "user_id" and (anonymous or (kind == "conversion" and "click_id" in event)):
            continue
        if name not in event:
            raise Bad("EVENT_FIELD_MISSING", name)
    for name in (*COMMON, *required, *FURTHER.get(kind, "").split(), *event):
        if name in event and not good(name, event[name]):
            raise Bad("EVENT_FIELD_INVALID", name)
    event["event_time"] = int(event["event_time"])
    return event


def lines_of(data):
    pieces = data.split(b"\n")
    for number, piece in enumerate(pieces, 1):
        if number < len(pieces) and piece.endswith(b"\r"):
            piece = piece[:-1]
        if piece.strip(b" \t"):
            yield number, piece


def user_of(event):
    if "user_id" in event:
        return event["user_id"]
    return "click:" + event["click_id"] if event["type"] == "conversion" and "click_id" in event else "anon:" + event["event_id"]


def accepted_of(events):
    """The events that are no duplicates, from (order key, event) pairs."""
    ids, orders = defaultdict(list), defaultdict(list)
    for _, event in sorted(events, key=lambda pair: pair[0]):
        time, user = event["event_time"], user_of(event)
        seen = ids[user, event["type"], event["event_id"]]
        bought = []
        if event["type"] == "conversion" and "refund_of" not in event and not event.get("value", 0) < 0 and "order_id" in event:
            bought = orders[user, event["advertiser_id"], event["order_id"]]
        if any(abs(time - old) <= 7 * DAY for old in seen) or any(abs(time - old) <= 90 * DAY for old in bought):
            continue
        seen.append(time)
        bought.append(time)
        yield event


def canonical(row):
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # JSON.stringify writes a lone surrogate (in the name of a field) as an escape.
    return re.sub("[\ud800-\udfff]", lambda found: "\\u%04x" % ord(found[0]), text).encode()


def write_lines(path, rows):
    with open(path, "wb") as out:
        out.writelines(line + b"\n" for line in sorted(map(canonical, rows)))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--input", required=True)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--anonymous", choices=["reject", "accept"], default="reject")
    arguments.add_argument("--lateness-ms", type=int, default=600_000)
    args = arguments.parse_args()
    with (gzip.open if args.input.endswith(".gz") else open)(args.input, "rb") as source:
        data = source.read()

    events, dead, late, stamp = [], [], 0, None
    for number, raw in lines_of(data):
        try:
            event = validate(raw, args.anonymous == "accept")
        except Bad as bad:
            code, field = bad.args
            dead.append({"line": number, "code": code, "field": field, "raw": base64.b64encode(raw).decode()})
            continue
        at = event["event_time"]
        if stamp is not None and at < stamp - args.lateness_ms:
            late += 1
            at = stamp - args.lateness_ms
        stamp = max(stamp or 0, event["event_time"])
        events.append(((at, event["type"].encode(), event["event_id"].encode(), number), event))

    accepted = list(accepted_of(events))
    as_of = max((event["event_time"] for event in accepted), default=None)
    counts = Counter()
    for event in accepted:
        if event["type"] == "page_view" and 0 <= as_of // 60_000 - event["event_time"] // 60_000 < 60:
            counts["page", event["page_id"]] += 1
            if "user_id" in event:
                counts["user", event["user_id"]] += 1

    os.makedirs(args.out, exist_ok=True)
    write_lines(os.path.join(args.out, "dead_letters.ndjson"), dead)
    write_lines(os.path.join(args.out, "features.ndjson"), [
        {"feature": "page_views_1h", "entity": entity, "key": key, "value": value} for (entity, key), value in counts.items()
    ])
    write_lines(os.path.join(args.out, "summary.json"), [{
        "read": len(events) + len(dead), "accepted": len(accepted), "duplicates": len(events) - len(accepted),
        "dead_letters": len(dead), "late": late, "as_of": as_of,
    }])


if __name__ == "__main__":
    main()
