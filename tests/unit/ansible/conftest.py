"""Where there is no Ansible to compare with."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # ansible-core 2.19, the first release whose rules these are, needs it
    collect_ignore = ["test_against_ansible.py", "test_ini.py", "test_ranges.py"]
