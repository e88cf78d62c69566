"""Makes the options of a run's channels of its plan: reads certificates and token, before any load."""

import ipaddress

from loadgen import credentials
from loadgen.bearer import Token
from loadgen.credentials import Pair, Tls
from loadgen.engines.channels import COMPRESSIONS, Keepalive, Options, Retry
from loadgen.errors import PlanError
from loadgen.plan import Plan
from loadgen.target import Uri

DEFAULT_RETRY_CODES = "UNAVAILABLE"


def options_of(plan: Plan, uri: Uri) -> Options:
    """Return them; raises LoadgenError where a file is not what it should be, PlanError as `Plan` does."""
    keepalive = retry = None
    min_time = plan.dns_min_time_between_resolutions
    if plan.keepalive_time is not None:
        timeout = plan.keepalive_timeout
        keepalive = Keepalive(_ms(plan.keepalive_time), None if timeout is None else _ms(timeout))
    if plan.retry is not None:
        retry = Retry(plan.retry, tuple((plan.retry_codes or DEFAULT_RETRY_CODES).split(",")))
    return Options(
        plan.lb_policy,
        plan.connections,
        plan.health_check,
        plan.timeout / 1e9 if plan.timeout else None,
        tls=_tls(plan, uri) if plan.secure else None,
        token=_token(plan, uri),
        keepalive=keepalive,
        compression=None if plan.compression is None else COMPRESSIONS[plan.compression],
        retry=retry,
        lb_config=plan.lb_config,
        hash_header=plan.hash_header,
        rotating=plan.rotate_connections is not None,
        dns_min_time=None if min_time is None else _ms(min_time),
    )


def _ms(duration: int) -> int:
    return max(1, duration // 1_000_000)


def _tls(plan: Plan, uri: Uri) -> Tls:
    if len(uri.literal) > 1 and plan.server_name is None and not plan.insecure_skip_verify:
        raise PlanError("several addresses with TLS need --server-name: gRPC expects one name of them all")
    pair = None
    if plan.cert is not None and plan.key is not None:
        pair = Pair.read(plan.cert, plan.key)
    roots = credentials.system_roots() if plan.cacert is None else credentials.roots(plan.cacert)
    authority = None
    if uri.name is not None:  # channels of discovery static, poll and watch are given its addresses
        # a name's final dot is for DNS alone: certificates and SNI have none (RFC 6066, 3)
        authority = f"{uri.name.host.rstrip('.')}:{uri.name.port}"
    elif len(uri.literal) == 1:
        authority = uri.literal[0]
    return Tls(
        roots=roots,
        pair=pair,
        name=plan.server_name,
        authority=authority,
        skip_verify=plan.insecure_skip_verify,
    )


def _token(plan: Plan, uri: Uri) -> Token | None:
    if plan.token is not None and not plan.secure and not _is_local(uri):
        raise PlanError(f"{plan.token} needs TLS (--tls or --cacert): others could read the token on the way")
    if plan.token_file is not None:
        return Token.from_file(plan.token_file)
    return None if plan.token_env is None else Token.from_variable(plan.token_env)


def _is_local(uri: Uri) -> bool:
    """Tell whether what is sent to a target stays on this machine."""
    if uri.name is not None:
        return uri.name.host == "localhost"
    if uri.literal:
        hosts = (one.rpartition(":")[0].strip("[]") for one in uri.literal)
        return all(ipaddress.ip_address(host).is_loopback for host in hosts)
    return uri.text.startswith("unix")
