"""Names of services by their port and protocol, as IANA's registry of service names has them."""

from __future__ import annotations

# The names that people who read flow logs meet; where IANA's differs from the one in use
# (ms-wbt-server), the one in use.
_BOTH = {
    7: "echo", 53: "domain", 67: "bootps", 68: "bootpc", 69: "tftp", 88: "kerberos", 111: "sunrpc",
    123: "ntp", 135: "epmap", 137: "netbios-ns", 138: "netbios-dgm", 139: "netbios-ssn",
    161: "snmp", 162: "snmptrap", 389: "ldap", 443: "https", 445: "microsoft-ds", 464: "kpasswd",
    500: "isakmp", 514: "syslog", 520: "rip", 636: "ldaps", 853: "domain-s", 1194: "openvpn",
    1701: "l2tp", 1812: "radius", 1813: "radius-acct", 1900: "ssdp", 2049: "nfs", 3268: "msft-gc",
    3269: "msft-gc-ssl", 3389: "rdp", 3478: "stun", 4500: "ipsec-nat-t", 4789: "vxlan",
    5060: "sip", 5061: "sips", 5353: "mdns", 5355: "llmnr", 11211: "memcached",
}  # fmt: skip  # a table
_TCP = {
    20: "ftp-data", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 43: "whois", 80: "http",
    110: "pop3", 119: "nntp", 143: "imap", 179: "bgp", 465: "submissions", 513: "login",
    587: "submission", 593: "http-rpc-epmap", 873: "rsync", 990: "ftps", 993: "imaps",
    995: "pop3s", 1080: "socks", 1433: "ms-sql", 1521: "oracle", 1723: "pptp", 1883: "mqtt",
    2181: "zookeeper", 2375: "docker", 2376: "docker-s", 2379: "etcd-client", 2380: "etcd-server",
    3128: "squid-http", 3260: "iscsi", 3306: "mysql", 5044: "beats", 5432: "postgresql",
    5671: "amqps", 5672: "amqp", 5900: "vnc", 5985: "winrm", 5986: "winrm-s", 6379: "redis",
    6380: "redis-s", 6443: "kubernetes-api", 6667: "irc", 8080: "http-alt", 8443: "https-alt",
    8883: "mqtts", 9042: "cassandra", 9092: "kafka", 9093: "kafka-s", 9200: "elasticsearch",
    9418: "git", 10250: "kubelet", 27017: "mongodb",
}  # fmt: skip  # a table
_UDP = {1434: "ms-sql-m", 3544: "teredo", 6343: "sflow", 2055: "netflow", 51820: "wireguard"}

_NAMES = {
    **{("tcp", port): name for port, name in (_BOTH | _TCP).items()},
    **{("udp", port): name for port, name in (_BOTH | _UDP).items()},
}


def service_name(protocol: str, dst_port: int) -> str:
    """The name of a port's service; `8728/tcp` if it has none, `icmp` without ports."""
    if protocol not in ("tcp", "udp", "sctp", "dccp"):
        return protocol
    return _NAMES.get((protocol, dst_port)) or f"{dst_port}/{protocol}"
