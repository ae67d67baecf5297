"""Checks requests with the official Python library. A line of JSON in, the result out: ok, or the error's text."""

import json
import sys
from datetime import datetime, timedelta

from standardwebhooks import webhooks


class Later(datetime):
    """The clock of a receiver that gets the request six minutes later."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(minutes=6)


for line in sys.stdin:
    case = json.loads(line)
    webhooks.datetime = Later if case["later"] else datetime
    try:
        webhooks.Webhook(case["secret"]).verify(case["body"], case["headers"])
        print("ok", flush=True)
    except webhooks.WebhookVerificationError as error:
        print(error, flush=True)
