"""Images where nothing is fetched from the internet: archives, a private registry, the hosts' own runtime."""
