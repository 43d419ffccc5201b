"""Settings: defaults that run the local stack, and one clear line for everything else."""

from __future__ import annotations

import pytest

from tasks.environment import SettingsError
from tasks.settings import LOCAL_AWS_URL, METADATA_PATIENCE, Settings


def test_an_empty_environment_runs_the_local_stack() -> None:
    """With nothing set, every AWS client is pointed at the embedded AWS."""
    assert Settings.from_env({}).aws_environ["AWS_ENDPOINT_URL_SQS"] == LOCAL_AWS_URL


def test_on_aws_endpoints_and_keys_are_left_to_aws() -> None:
    """`CLOUD=aws` sets the region, and patience with the machine's metadata, so the role's keys are used."""
    environ = Settings.from_env({"CLOUD": "aws", "AWS_REGION": "eu-west-1"}).aws_environ
    assert environ == {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", **METADATA_PATIENCE}


def test_an_empty_variable_counts_as_unset() -> None:
    """`QUEUE=` in an environment file means the default, not a queue without a name."""
    assert Settings.from_env({"QUEUE": ""}).queue == "classify"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("CLOUD", "azure", id="unknown-cloud"),
        pytest.param("AWS_ENDPOINT_URL_S3", "127.0.0.1:4566", id="endpoint-without-scheme"),
        pytest.param("INPUT_BUCKET", "Not A Bucket", id="bucket-name"),
        pytest.param("QUEUE", "classify.fifo!", id="queue-name"),
        pytest.param("MAX_RECEIVES", "0", id="below-range"),
        pytest.param("TASK_MAX_RETRIES", "three", id="not-a-number"),
        pytest.param("VISIBILITY_TIMEOUT_S", "90000", id="above-what-sqs-allows"),
        pytest.param("VISIBILITY_TIMEOUT_S", "45", id="not-above-the-time-limit"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(name: str, value: str) -> None:
    """The operator reads which setting is wrong, what it was and what it should be."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({name: value})
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(f"{name}=")
    assert value in message
    assert "should be" in message
