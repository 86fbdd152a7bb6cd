etcd_extra_sans: [third.example.com]
