"""For each statement of each role: what is done by its leave, as the system does it.

A probe makes the request that the system's own code makes, or lets that code make it. `test_access.py` runs each with
its statement, which must be enough, and without it, which must be too little.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from scaler.fleet import FleetError
from scaler.instances import TAG_ROLE
from scaler.state import LaunchOutcome, Phase
from tasks.names import LEASE_KEY
from tests.deploy.access_world import DATA, PHOTO, World

Probe = Callable[[World], object]
_numbers = itertools.count()


def launch(world: World, role: str = "ScalerRole", **fleet: str) -> LaunchOutcome:
    """Launch an instance as the scaler does; what EC2 refuses is raised."""
    outcome = world.fleet(role, **fleet).launch(1, f"token-{next(_numbers)}")
    if outcome.refusals:
        raise FleetError(outcome.refusals[0][1])
    return outcome


def mark(world: World, role: str = "ScalerRole", **tags: str) -> None:
    """Tell an instance, by its tags, that it drains, and take that back."""
    instance = world.instance(**tags)
    world.fleet(role).mark([instance], Phase.DRAINING, 0.0)


def unmark(world: World, role: str = "ScalerRole", **tags: str) -> None:
    """Take back what an instance was told."""
    world.fleet(role).unmark([world.instance(**tags)])


def terminate(world: World, role: str = "ScalerRole", **tags: str) -> None:
    """Terminate an instance."""
    world.fleet(role).terminate([world.instance(**tags)])


def get(role: str, bucket: str, key: str = PHOTO) -> Probe:
    """Read an object of the bucket that a method of `World` fills."""
    return lambda world: world.client(role, "s3").get_object(**getattr(world, bucket)(key))


def put(role: str, bucket: str, key: str = PHOTO) -> Probe:
    """Write an object."""
    return lambda world: world.client(role, "s3").put_object(**getattr(world, bucket)(key), Body=DATA)


def delete(role: str, bucket: str, key: str = PHOTO) -> Probe:
    """Delete an object."""
    return lambda world: world.client(role, "s3").delete_object(**getattr(world, bucket)(key))


def abort(role: str) -> Probe:
    """Give up the upload of a large photo that has begun."""

    def probe(world: World) -> None:
        photo = world.photo()
        upload = world.client("", "s3").create_multipart_upload(**photo)["UploadId"]
        world.client(role, "s3").abort_multipart_upload(**photo, UploadId=upload)

    return probe


def find(role: str, queue: str) -> Probe:
    """Ask for a queue's URL; `queue` names it among the settings."""
    return lambda world: world.client(role, "sqs").get_queue_url(QueueName=getattr(world.access.settings, queue))


def count(role: str, queue: str) -> Probe:
    """Ask how many messages a queue holds; `queue` names the attribute of `World` with its URL."""
    names = ["ApproximateNumberOfMessages", "RedrivePolicy"]
    return lambda world: world.client(role, "sqs").get_queue_attributes(
        QueueUrl=getattr(world, queue), AttributeNames=names
    )


def send(role: str, queue: str) -> Probe:
    """Send messages, as all that is sent goes: in batches."""
    entries = [{"Id": "1", "MessageBody": "task"}]
    return lambda world: world.client(role, "sqs").send_message_batch(QueueUrl=_url(world, queue), Entries=entries)


def receive(role: str, queue: str) -> Probe:
    """Ask for a message."""
    return lambda world: world.client(role, "sqs").receive_message(QueueUrl=_url(world, queue))


def done(role: str, queue: str) -> Probe:
    """Delete a message, by a batch."""

    def probe(world: World) -> None:
        message = world.received(_url(world, queue))
        entries = [{"Id": "1", "ReceiptHandle": message["ReceiptHandle"]}]
        world.client(role, "sqs").delete_message_batch(QueueUrl=message["QueueUrl"], Entries=entries)

    return probe


def extend(role: str, queue: str) -> Probe:
    """Keep a message for longer, by a batch."""

    def probe(world: World) -> None:
        message = world.received(_url(world, queue))
        entries = [{"Id": "1", "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}]
        world.client(role, "sqs").change_message_visibility_batch(QueueUrl=message["QueueUrl"], Entries=entries)

    return probe


def make_queue(role: str, kind: str) -> Probe:
    """Make a queue of remote control."""
    return lambda world: world.client(role, "sqs").create_queue(QueueName=world.new_name(kind))


def tag_queue(role: str, kind: str) -> Probe:
    """Say by a tag that a queue's owner lives."""
    return lambda world: world.client(role, "sqs").tag_queue(
        QueueUrl=world.control_queue(kind), Tags={"celery-alive": "0"}
    )


def read_tags(role: str, kind: str) -> Probe:
    """Look whether a queue's owner lives."""
    return lambda world: world.client(role, "sqs").list_queue_tags(QueueUrl=world.control_queue(kind))


def delete_queue(role: str, kind: str) -> Probe:
    """Delete a queue of remote control."""
    return lambda world: world.client(role, "sqs").delete_queue(QueueUrl=world.control_queue(kind))


def publish(role: str, topic: str) -> Probe:
    """Publish to a topic; `topic` names it among the settings."""
    return lambda world: world.client(role, "sns").publish(
        TopicArn=getattr(world.access.settings, topic), Message="hello"
    )


def subscribe(role: str, topic: str, kind: str) -> Probe:
    """Subscribe a queue of a kind to a topic."""
    return lambda world: world.client(role, "sns").subscribe(
        TopicArn=getattr(world.access.settings, topic),
        Protocol="sqs",
        Endpoint=world.arn(world.control_queue(kind)),
        ReturnSubscriptionArn=True,
    )


def unsubscribe(role: str, topic: str, kind: str) -> Probe:
    """End a subscription."""
    return lambda world: world.client(role, "sns").unsubscribe(
        SubscriptionArn=world.subscription(getattr(world.access.settings, topic), kind)
    )


def subscriptions(role: str, topic: str) -> Probe:
    """List a topic's subscriptions."""
    return lambda world: world.client(role, "sns").list_subscriptions_by_topic(
        TopicArn=getattr(world.access.settings, topic)
    )


def list_bucket(role: str, bucket: str) -> Probe:
    """List a bucket; `bucket` names it among the settings."""
    return lambda world: world.client(role, "s3").list_objects_v2(Bucket=getattr(world.access.settings, bucket))


def code(role: str, key: str) -> Probe:
    """Fetch code or weights."""
    return lambda world: world.client(role, "s3").get_object(**world.stored(world.artifacts, key))


def log(role: str, part: str) -> tuple[Probe, Probe, Probe]:
    """Do what the CloudWatch agent does: make a stream, look for streams, write to one."""

    def write(world: World) -> None:
        stream = world.log_stream(part)
        world.client(role, "logs").put_log_events(**stream, logEvents=[{"timestamp": 0, "message": "hello"}])

    def group(world: World) -> str:
        return f"/classifier/{world.name}/{part}"

    return (
        lambda world: world.client(role, "logs").create_log_stream(
            logGroupName=group(world), logStreamName=f"i-0a1b-{next(_numbers)}"
        ),
        lambda world: world.client(role, "logs").describe_log_streams(logGroupName=group(world)),
        write,
    )


def become(role: str) -> Probe:
    """Assume the role of one of the web machine's processes."""
    return lambda world: world.client("WebHostRole", "sts").assume_role(
        RoleArn=world.access.outputs[role], RoleSessionName="web-host"
    )


def secret(parameter: str) -> Probe:
    """Read a secret; `parameter` of the template names it."""
    return lambda world: world.client("WebHostRole", "secretsmanager").get_secret_value(
        SecretId=world.access.parameters[parameter]
    )


def signal(world: World) -> object:
    """Tell the nested stack of the web machine that it is up."""
    return world.client("WebHostRole", "cloudformation").signal_resource(
        StackName=world.waiting_stack,
        LogicalResourceId="WebGroup",
        UniqueId=f"i-{next(_numbers)}",
        Status="SUCCESS",
    )


def take_address(world: World, role: str = "WebHostRole", **tags: str) -> object:
    """Give the deployment's address to a machine."""
    return world.client(role, "ec2").associate_address(
        AllocationId=world.access.parameters["WebAddressAllocationId"],
        InstanceId=world.instance(**{TAG_ROLE: "web", **tags}),
        AllowReassociation=True,
    )


def _url(world: World, queue: str) -> str:
    """Return the URL of the queue of tasks or of dead letters, or of a control queue that is made now."""
    return str(getattr(world, queue)) if queue in {"tasks", "dead_letters"} else world.control_queue(queue)


WORKER, WEB, SCALER, FLOWER, HOST = "WorkerRole", "WebRole", "ScalerRole", "FlowerRole", "WebHostRole"
CONTROL, EVENTS = "control_topic_arn", "events_topic_arn"
NOTE = f"batches/{PHOTO}"

PROBES: dict[tuple[str, str], tuple[Probe, ...]] = {
    (WORKER, "ReadPhotos"): (get(WORKER, "photo"), get(WORKER, "photo", "operators/own.jpg")),
    (WORKER, "StoreResults"): (get(WORKER, "result"), put(WORKER, "result")),
    (WORKER, "WatchScaler"): (get(WORKER, "result", LEASE_KEY),),
    (WORKER, "TakeTasks"): (
        find(WORKER, "queue"),
        count(WORKER, "tasks"),
        receive(WORKER, "tasks"),
        done(WORKER, "tasks"),
        extend(WORKER, "tasks"),
        send(WORKER, "tasks"),
    ),
    (WORKER, "BuryTasks"): (find(WORKER, "dead_letter_queue"), send(WORKER, "dead_letters")),
    (WORKER, "OwnInbox"): (
        make_queue(WORKER, "node"),
        tag_queue(WORKER, "node"),
        receive(WORKER, "node"),
        delete_queue(WORKER, "node"),
    ),
    (WORKER, "HearCommands"): (subscribe(WORKER, CONTROL, "node"),),
    (WORKER, "LeaveTopic"): (unsubscribe(WORKER, CONTROL, "node"),),
    (WORKER, "AnswerCommands"): (send(WORKER, "replies"),),
    (WORKER, "TellEvents"): (publish(WORKER, EVENTS),),
    (WORKER, "ReadCode"): (code(WORKER, "artifacts/classifier-1.tar.gz"), code(WORKER, "models/everyday10.pt")),
    (WORKER, "WriteLog"): log(WORKER, "node"),
    (WEB, "ListPhotosAndResults"): (list_bucket(WEB, "input_bucket"), list_bucket(WEB, "result_bucket")),
    (WEB, "ReadPhotos"): (get(WEB, "photo"), get(WEB, "photo", "operators/own.jpg")),
    (WEB, "KeepPhotos"): (put(WEB, "photo"), delete(WEB, "photo"), abort(WEB)),
    (WEB, "ReadResults"): (get(WEB, "result"), delete(WEB, "result")),
    (WEB, "NoteBatches"): (get(WEB, "result", NOTE), put(WEB, "result", NOTE), delete(WEB, "result", NOTE)),
    (WEB, "SendTasks"): (
        find(WEB, "queue"),
        count(WEB, "tasks"),
        send(WEB, "tasks"),
        lambda world: world.client(WEB, "sqs").purge_queue(QueueUrl=world.tasks),
    ),
    (SCALER, "CountTasks"): (find(SCALER, "queue"), count(SCALER, "tasks")),
    (SCALER, "LookAtDeadLetters"): (
        find(SCALER, "dead_letter_queue"),
        receive(SCALER, "dead_letters"),
        extend(SCALER, "dead_letters"),
    ),
    (SCALER, "SettleDeadLetters"): (get(SCALER, "result"), put(SCALER, "result")),
    (SCALER, "KeepLeaseAndMemory"): (
        get(SCALER, "result", LEASE_KEY),
        put(SCALER, "result", LEASE_KEY),
        delete(SCALER, "result", LEASE_KEY),
    ),
    (SCALER, "SendCommands"): (publish(SCALER, CONTROL),),
    (SCALER, "OwnReplies"): (make_queue(SCALER, "replies"), tag_queue(SCALER, "replies"), receive(SCALER, "replies")),
    (SCALER, "FindQueues"): (lambda world: world.client(SCALER, "sqs").list_queues(QueueNamePrefix=f"{world.name}_"),),
    (SCALER, "SweepQueues"): tuple(
        probe(SCALER, kind) for kind in ("node", "replies", "events") for probe in (read_tags, delete_queue)
    ),
    (SCALER, "FindSubscriptions"): (subscriptions(SCALER, CONTROL), subscriptions(SCALER, EVENTS)),
    (SCALER, "SweepSubscriptions"): (unsubscribe(SCALER, CONTROL, "node"), unsubscribe(SCALER, EVENTS, "events")),
    (SCALER, "SeeInstances"): (lambda world: world.fleet(SCALER).instances(),),
    (SCALER, "UseOurTemplate"): (launch,),
    (SCALER, "AskForFleet"): (launch,),
    (SCALER, "LaunchOurInstances"): (launch,),
    (SCALER, "UsePartsOfTemplate"): (launch,),
    (SCALER, "TagAtLaunch"): (launch,),
    (SCALER, "PassWorkerRole"): (launch,),
    (SCALER, "MarkOurInstances"): (mark, unmark),
    (SCALER, "TerminateOurInstances"): (terminate,),
    (FLOWER, "CountTasks"): (
        find(FLOWER, "queue"),
        count(FLOWER, "tasks"),
        find(FLOWER, "dead_letter_queue"),
        count(FLOWER, "dead_letters"),
    ),
    (FLOWER, "OwnInboxes"): tuple(
        probe(FLOWER, kind)
        for kind in ("events", "replies")
        for probe in (make_queue, tag_queue, receive, delete_queue)
    ),
    (FLOWER, "HearEvents"): (subscribe(FLOWER, EVENTS, "events"),),
    (FLOWER, "LeaveTopic"): (unsubscribe(FLOWER, EVENTS, "events"),),
    (FLOWER, "SendCommands"): (publish(FLOWER, CONTROL),),
    (HOST, "BecomeProcesses"): (become(WEB), become(SCALER), become(FLOWER)),
    (HOST, "ReadSecrets"): (secret("WebSecretArn"), secret("FlowerSecretArn"), secret("TlsSecretArn")),
    (HOST, "ReadCode"): (code(HOST, "artifacts/classifier-1.tar.gz"),),
    (HOST, "SignalStack"): (signal,),
    (HOST, "WriteLogs"): (*log(HOST, "web"), *log(HOST, "scaler"), *log(HOST, "flower")),
    (HOST, "TakeAddress"): (take_address,),
    (HOST, "GiveAddressToMachine"): (take_address,),
}
