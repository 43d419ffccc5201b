"""Names that processes share without sharing code: of tasks, of remote commands, of the scaler's lease."""

CLASSIFY = "tasks.classify"

# Remote commands of a node's workers, see tasks/report.py.
NODE_REPORT = "node_report"
NODE_DRAIN = "node_drain"
# In the result bucket; as long as it changes, a scaler lives.
LEASE_KEY = "_scaler/lease.json"
