"""Has parliament judge policies of IAM, read from stdin as JSON by name; prints what it finds as JSON: name, issue, where."""

import json
import sys

from parliament import analyze_policy_string

findings = []
for name, policy in json.load(sys.stdin).items():
    for finding in analyze_policy_string(json.dumps(policy)).findings:
        findings.append([name, finding.issue, str(finding.detail or finding.location)])
print(json.dumps(sorted(findings)))
