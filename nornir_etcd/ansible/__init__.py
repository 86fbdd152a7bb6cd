"""Ansible's inventories as they are: INI, YAML, group_vars, host_vars and playbooks, to hosts and variables.

Reads files and knows neither hosts nor networks. Ansible itself is not needed; its rules are told in
https://docs.ansible.com/ansible/latest/inventory_guide/intro_inventory.html and
https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_variables.html.
"""
