"""Stands in for AWS's command line on the emulated machines: `aws s3 cp [--only-show-errors] s3://BUCKET/KEY -`.

UserData fetches the code with it. It refuses everything else, and has no keys but those of its environment or, as on
AWS, those of the machine's role.
"""

from __future__ import annotations

import shutil
import sys
from urllib.parse import urlsplit

import boto3

COPY = ("s3", "cp")


def main(arguments: list[str]) -> int:
    """Write an object to standard output; return the exit status.

    Raises:
        botocore.exceptions.BotoCoreError: S3 cannot be reached, or the machine has no keys.
        botocore.exceptions.ClientError: S3 refuses the request.
    """
    words = [word for word in arguments if word != "--only-show-errors"]
    url = urlsplit(words[2]) if len(words) > len(COPY) else urlsplit("")
    if (*words[:2],) != COPY or url.scheme != "s3" or words[3:] != ["-"]:
        print(
            f"error: the emulated machines' aws knows only `s3 cp s3://BUCKET/KEY -`, not {arguments}", file=sys.stderr
        )
        return 2
    stored = boto3.client("s3").get_object(Bucket=url.netloc, Key=url.path.lstrip("/"))
    shutil.copyfileobj(stored["Body"], sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
