"""What a run costs on lab hosts, against a floor of plain OpenSSH. Figures, no tests: `make bench`."""
