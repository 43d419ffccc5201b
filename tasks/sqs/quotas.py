"""SQS's limits, each with the page that states it."""

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BATCH_ENTRIES = 10
# SQS takes more by now; 256 KiB is what every region, SNS and older endpoints take.
MAX_BATCH_BYTES = 256 * 1024
MAX_DELAY_S = 900
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
MAX_IN_FLIGHT_S = 12 * 3600
