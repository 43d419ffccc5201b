"""What ``celery -A tasks.app flower`` reads: SQS's pages, and no Flower without a password but on this machine."""

from tasks.sqs.flower import install

install()

tasks_columns = "name,uuid,state,args,kwargs,runtime,received,worker,result"
