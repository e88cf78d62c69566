"""Wrong values: an error before anything is installed, which names the value."""

import pytest

from tests.chart.helm import HelmError, sets, template

SCHEMA = [
    (["headles=true"], "additional properties 'headles' not allowed"),
    (["server.imag.tag=1"], "at '/server': additional properties 'imag' not allowed"),
    (["loadgen.config.totl=1"], "at '/loadgen/config': additional properties 'totl' not allowed"),
    (["headless=yes"], "at '/headless': got string, want boolean"),
    (["lbPolicy=bogus"], "at '/lbPolicy': value must be one of 'round_robin', 'pick_first'"),
    (["replicaCount=-1"], "at '/replicaCount': minimum: got -1, want 1"),
    (["replicaCount=two"], "at '/replicaCount': got string, want integer"),
    (["autoscaling.mode=vpa"], "at '/autoscaling/mode': value must be one of 'none', 'hpa', 'keda'"),
    (["autoscaling.maxReplicas=0"], "at '/autoscaling/maxReplicas': minimum: got 0, want 1"),
    (["autoscaling.memory.targetUtilization=0"], "at '/autoscaling/memory/targetUtilization': minimum"),
    (
        ["autoscaling.memory.targetAverageValue=lots"],
        "at '/autoscaling/memory/targetAverageValue': 'lots' does not",
    ),
    (
        ["server.resources.requests.memory=12Megs"],
        "at '/server/resources/requests/memory': '12Megs' does not",
    ),
    (["server.port=0"], "at '/server/port': minimum: got 0, want 1"),
    (["server.metricsPort=65536"], "at '/server/metricsPort': maximum"),
    (["server.logLevel=loud"], "at '/server/logLevel': value must be one of"),
    (["server.delay=20"], "at '/server/delay'"),
    (["server.delay=fast"], "at '/server/delay': 'fast' does not match pattern"),
    (["server.errorRatio=2"], "at '/server/errorRatio': maximum: got 2, want 1"),
    (["server.slowReplica.delay=null"], "at '/server/slowReplica': missing property 'delay'"),
    (["server.slowReplica.delay=slow"], "at '/server/slowReplica/delay'"),
    (["server.slowReplica.count=2"], "at '/server/slowReplica': additional properties 'count' not allowed"),
    (["server.orca=yes"], "at '/server/orca': value must be one of 'per-call', 'oob', 'both'"),
    (["loadgen.config.lb_config=5"], "at '/loadgen/config/lb_config': got number"),
    (["loadgen.config.hash_header=a b"], "at '/loadgen/config/hash_header': 'a b' does not match"),
    (["loadgen.config.hash_header=a-bin"], "at '/loadgen/config/hash_header': 'not' failed"),
    (["server.slots=-1"], "at '/server/slots': minimum: got -1, want 0"),
    (["server.memory.perCall=lots"], "at '/server/memory/perCall': 'lots' does not match pattern"),
    (["server.memory.hold=30"], "at '/server/memory/hold': got number, want null or string"),
    (["server.memory.max=0Mi"], "at '/server/memory/max': '0Mi' does not match pattern"),
    (["server.memory.size=1Mi"], "at '/server/memory': additional properties 'size' not allowed"),
    (["server.drain.delaySeconds=-1"], "at '/server/drain/delaySeconds': minimum: got -1, want 0"),
    (["server.image.pullPolicy=Sometimes"], "at '/server/image/pullPolicy': value must be one of"),
    (["server.image.repository=null"], "at '/server/image': missing property 'repository'"),
    (["server.podLabels.a=b c"], "at '/server/podLabels/a': 'b c' does not match pattern"),
    (["fullnameOverride=No_Name"], "at '/fullnameOverride': 'No_Name' does not match pattern"),
    (["runId=true"], "at '/runId': got boolean"),
    (["loadgen.config.total=0"], "at '/loadgen/config/total': minimum: got 0, want 1"),
    (["loadgen.config.duration=1min"], "at '/loadgen/config/duration': '1min' does not match pattern"),
    (["loadgen.config.concurrency=0"], "at '/loadgen/config/concurrency': minimum"),
    (["loadgen.config.rps=0"], "at '/loadgen/config/rps': exclusiveMinimum"),
    (["loadgen.config.arrival=bursty"], "at '/loadgen/config/arrival': value must be one of"),
    (["loadgen.config.seed=-1"], "at '/loadgen/config/seed': minimum: got -1, want 0"),
    (["loadgen.config.stages=30s"], "at '/loadgen/config/stages': '30s' does not match pattern"),
    (["loadgen.config.stages=-1s:5"], "at '/loadgen/config/stages': '-1s:5' does not match pattern"),
    (["loadgen.config.warmup=10"], "at '/loadgen/config/warmup': got number, want null or string"),
    (["loadgen.config.threshold=p99<5ms"], "at '/loadgen/config/threshold': got string, want null or array"),
    (["loadgen.config.threshold={p99=5ms}"], "at '/loadgen/config/threshold/0': 'p99=5ms' does not match"),
    (["loadgen.config.connections=none"], "at '/loadgen/config/connections': 'none' does not match"),
    (["loadgen.config.discovery=guess"], "at '/loadgen/config/discovery': value must be one of"),
    (["loadgen.config.metadata={novalue}"], "at '/loadgen/config/metadata/0': 'novalue' does not match"),
    (["loadgen.config.backend_from=here"], "at '/loadgen/config/backend_from': 'here' does not match"),
    (["loadgen.config.call=Get"], "at '/loadgen/config/call': 'Get' does not match pattern"),
    (["loadgen.config.data=5"], "at '/loadgen/config/data': got number"),
    (["loadgen.config.stream_messages=0"], "at '/loadgen/config/stream_messages': minimum: got 0, want 1"),
    (["loadgen.config.stream_interval=1"], "at '/loadgen/config/stream_interval': got number"),
    (["loadgen.config.cold=maybe"], "at '/loadgen/config/cold'"),
    (["tls.existingSecret=No_Name"], "at '/tls/existingSecret': 'No_Name' does not match pattern"),
    (["tls.clientAuth=maybe"], "at '/tls/clientAuth': got string, want boolean"),
    (["tls.secret=a"], "at '/tls': additional properties 'secret' not allowed"),
    (["server.healthPort=0"], "at '/server/healthPort': minimum: got 0, want 1"),
    (["loadgen.tls.serverName=a"], "at '/loadgen/tls': additional properties 'serverName' not allowed"),
    (["loadgen.token.key=a/b"], "at '/loadgen/token/key': 'a/b' does not match pattern"),
    (["loadgen.config.compression=zip"], "at '/loadgen/config/compression': value must be one of"),
    (["loadgen.config.retry=5"], "at '/loadgen/config/retry': maximum: got 5, want 4"),
    (["loadgen.config.retry_codes=A B"], "at '/loadgen/config/retry_codes': 'A B' does not match"),
    (["loadgen.config.keepalive_time=30"], "at '/loadgen/config/keepalive_time': got number"),
    (["loadgen.config.token_env=A-B"], "at '/loadgen/config/token_env': 'A-B' does not match"),
    (["loadgen.mode=find"], "at '/loadgen/mode': value must be one of 'run', 'search'"),
    (["loadgen.search.precision=2"], "at '/loadgen/search/precision'"),
    (["loadgen.parallelism=0"], "at '/loadgen/parallelism': minimum: got 0, want 1"),
]

CLOSED = ["loadgen.config.concurrency=null", "loadgen.config.total=null"]
STAGES = [*CLOSED, r"loadgen.config.stages=30s:100\,1m30s@5\,500ms:0"]
OPEN = ["loadgen.config.concurrency=null", "loadgen.config.rps=5"]
KEDA = "autoscaling.mode=keda"
HELD = ["server.memory.perCall=225Ki", "server.memory.hold=30s"]
TLS = "tls.existingSecret=pair"
ELSE = ["server.enabled=false", "loadgen.config.target=else:1"]
WATCH = ["loadgen.config.discovery=watch"]
RING = ["lbPolicy=ring_hash", "loadgen.config.hash_header=user", "loadgen.config.metadata={User:ann}"]
OBSERVE = ["loadgen.config.observe=true"]
CROSS = [
    (
        ["loadgen.mode=search", "loadgen.parallelism=2"],
        "loadgen.mode is search but loadgen.parallelism is 2: one load generator searches.",
    ),
    (
        ["loadgen.mode=search", "loadgen.config.warmup=5s"],
        "loadgen.mode is search, which sets the load itself, but loadgen.config.warmup is 5s: set it",
    ),
    (
        ["loadgen.mode=search", "loadgen.search.to=5"],
        "loadgen.search.to is 5, below loadgen.search.from, which is 10.",
    ),
    (["tls.clientAuth=true"], "tls.clientAuth is true but tls.existingSecret is not set"),
    (["tls.serverName=a"], "tls.serverName is a but tls.existingSecret is not set"),
    (["tls.clientSecret=a"], "tls.clientSecret is a but tls.existingSecret is not set"),
    ([TLS, "tls.clientSecret=a"], "tls.clientSecret is a but tls.clientAuth is false"),
    ([TLS, *ELSE], "tls.existingSecret is pair but server.enabled is false"),
    ([TLS, "server.healthPort=9100"], "server.healthPort is 9100, as server.port or server.metricsPort"),
    (
        ["loadgen.tls.existingSecret=a"],
        "loadgen.tls.existingSecret is a but loadgen.config.target is not set: for the release's own server",
    ),
    ([*ELSE, "loadgen.tls.clientAuth=true"], "loadgen.tls.clientAuth is true but loadgen.tls.existingSecret"),
    (
        [*ELSE, "loadgen.tls.existingSecret=a", "loadgen.tls.clientSecret=b"],
        "loadgen.tls.clientSecret is b but loadgen.tls.clientAuth is false",
    ),
    ([TLS, "loadgen.config.cacert=/a"], "loadgen.config.cacert is /a, but a Secret gives that file already"),
    (["loadgen.config.cert=/a"], "loadgen.config.cert and loadgen.config.key need each other"),
    (
        ["loadgen.config.cacert=/a", "loadgen.config.insecure_skip_verify=true"],
        "loadgen.config.cacert is /a, which verifies, and loadgen.config.insecure_skip_verify does not",
    ),
    (
        ["loadgen.config.tls=true", "loadgen.config.token_env=A", "loadgen.token.existingSecret=a"],
        "loadgen.token.existingSecret and loadgen.config.token_env both give the token",
    ),
    (
        ["loadgen.token.existingSecret=a"],
        "loadgen.token.existingSecret is set but TLS is not (tls.existingSecret)",
    ),
    (
        [*ELSE, "loadgen.config.token_file=/a"],
        "loadgen.config.token_file is set but TLS is not (loadgen.tls.existingSecret or loadgen.config.tls)",
    ),
    (
        ["loadgen.config.keepalive_timeout=1s"],
        "loadgen.config.keepalive_timeout is 1s but loadgen.config.keepalive_time is not set",
    ),
    (
        ["loadgen.config.retry_codes=ABORTED"],
        "loadgen.config.retry_codes is ABORTED but loadgen.config.retry is not set",
    ),
    (
        ["loadgen.config.data.name=x"],
        "loadgen.config.data needs loadgen.config.call, which says what it is for.",
    ),
    (
        ["loadgen.config.stream_cancel_after=1s"],
        "loadgen.config.stream_cancel_after needs loadgen.config.call, which says what it is for.",
    ),
    (
        ["loadgen.config.backend_from=peer", "loadgen.config.connections=per-call"],
        "loadgen.config.backend_from peer cannot be counted with loadgen.config.connections per-call.",
    ),
    (
        ["loadgen.parallelism=11"],
        "loadgen.parallelism is 11 but loadgen.config.concurrency is 10: each load generator needs 1 of it",
    ),
    (
        ["loadgen.parallelism=2", "loadgen.config.concurrency=null"],
        "loadgen.parallelism is 2 but loadgen.config.concurrency is 1:",
    ),
    (
        ["loadgen.parallelism=4", "loadgen.config.total=3"],
        "loadgen.parallelism is 4 but loadgen.config.total is 3:",
    ),
    (
        [
            *("loadgen.parallelism=2", "loadgen.activeDeadlineSeconds=300"),
            *("loadgen.config.duration=1m", "loadgen.config.ready_timeout=120s"),
        ],
        "it must be at least 360 (ready_timeout + duration + 180)",
    ),
    (["server.metricsPort=9090"], "server.port and server.metricsPort are both 9090: they must differ."),
    (
        ["server.drain.timeoutSeconds=60"],
        (
            "server.drain takes up to 67 s (preStopSeconds 5 + delaySeconds 2 + timeoutSeconds 60), so"
            " server.terminationGracePeriodSeconds must be more than that, not 45:"
            " Kubernetes would kill a replica that still drains."
        ),
    ),
    (
        ["server.stall.every=10s"],
        "server.stall.every and server.stall.for need each other: set both or neither.",
    ),
    (
        HELD[:1],
        "server.memory.perCall and server.memory.hold need each other: set both or neither.",
    ),
    (
        HELD[1:],
        "server.memory.perCall and server.memory.hold need each other: set both or neither.",
    ),
    (
        ["server.memory.max=1Gi"],
        "server.memory.max is 1Gi but server.memory.perCall is not set: no call takes memory.",
    ),
    (
        [*HELD, "server.resources.limits.memory=null"],
        "server.memory.perCall is 225Ki but neither server.memory.max nor server.resources.limits.memory is",
    ),
    (
        [*HELD, "server.memory.max=512Mi"],
        "server.memory.max is 512Mi, it must be less than server.resources.limits.memory, which is 512Mi:",
    ),
    (
        [*HELD, "server.memory.max=200Ki"],
        "server.memory.perCall is 225Ki, more than the 204800 bytes that a replica may hold",
    ),
    (
        [*HELD, "server.resources.limits.memory=256Ki"],
        "server.memory.perCall is 225Ki, more than the 209715 bytes that a replica may hold",
    ),
    (
        ["server.maxConnectionAgeGrace=1s"],
        "server.maxConnectionAgeGrace is 1s but server.maxConnectionAge is not",
    ),
    (
        ["server.podDisruptionBudget.minAvailable=1"],
        "server.podDisruptionBudget needs exactly one of maxUnavailable",
    ),
    (
        [KEDA, "server.enabled=false"],
        "autoscaling.mode is keda but server.enabled is false: there is nothing to",
    ),
    (
        [KEDA, "autoscaling.minReplicas=0"],
        "autoscaling.minReplicas is 0, it must be at least 1: without a replica",
    ),
    (
        [KEDA, "autoscaling.minReplicas=3", "autoscaling.maxReplicas=2"],
        "autoscaling.maxReplicas is 2, less than autoscaling.minReplicas, which is 3.",
    ),
    (
        [KEDA, "autoscaling.memory.targetAverageValue=1Gi"],
        "autoscaling.memory.targetUtilization is 80 and autoscaling.memory.targetAverageValue is 1Gi: set",
    ),
    (
        [KEDA, "autoscaling.memory.targetUtilization=null"],
        "autoscaling.mode is keda, so autoscaling.memory needs a targetUtilization or a targetAverageValue.",
    ),
    (
        ["autoscaling.mode=hpa", "server.resources.requests.memory=null"],
        "autoscaling.memory.targetUtilization is 80 percent of server.resources.requests.memory, which is",
    ),
    (
        ["loadgen.config.lb_policy=pick_first"],
        "lbPolicy is round_robin and loadgen.config.lb_policy is pick_first: set one of them to null.",
    ),
    (["server.enabled=false"], "server.enabled is false, so loadgen.config.target must say whom to call."),
    (
        ["loadgen.config.rps=5"],
        "loadgen.config.rps is 5 (open load) and loadgen.config.concurrency is 10 (closed load): set",
    ),
    (
        [*OPEN, "loadgen.config.interval=1s"],
        "loadgen.config.rps is 5 (open load) and loadgen.config.interval is 1s",
    ),
    (
        [*STAGES, "loadgen.config.rps=5"],
        "which says how fast and how long, and loadgen.config.rps is 5: set one of them to null.",
    ),
    (
        [*STAGES, "loadgen.config.duration=5s"],
        "which says how fast and how long, and loadgen.config.duration is 5s: set one of them to null.",
    ),
    (
        [*STAGES, "loadgen.config.total=5"],
        "which says how fast and how long, and loadgen.config.total is 5: set one of them to null.",
    ),
    (
        [*STAGES, "loadgen.config.interval=5s"],
        "(open load) and loadgen.config.interval is 5s (closed load): set one of them to null.",
    ),
    (
        [*STAGES, "loadgen.config.warmup=120.5s"],
        "loadgen.config.warmup is 120.5s, the first part of loadgen.config.stages, which take 30s1m30s500ms:",
    ),
    (
        ["loadgen.config.arrival=poisson"],
        "loadgen.config.arrival is poisson, which is for open load: set loadgen.config.rps or stages too.",
    ),
    (
        [*OPEN, "loadgen.config.seed=0"],
        "loadgen.config.seed is 0 but loadgen.config.arrival is not poisson, and neither data nor",
    ),
    (
        ["loadgen.config.call=a.B/C", "loadgen.config.threshold={p99<1s,each.p99<1s}"],
        "loadgen.config.threshold has each.p99<1s, which needs to know who answered each call",
    ),
    (
        ["loadgen.config.backend_from=peer", "loadgen.config.threshold={backend.p50<1s}"],
        "loadgen.config.threshold has backend.p50<1s, which needs to know who answered each call",
    ),
    (
        ["loadgen.config.threshold={p99<1s,rate>=0.9*target}"],
        "loadgen.config.threshold has rate>=0.9*target, but closed load has no rate to aim for",
    ),
    (
        [*STAGES, "loadgen.activeDeadlineSeconds=360"],
        "loadgen.activeDeadlineSeconds is 360, it must be at least 361 (ready_timeout + stages + 120)",
    ),
    (
        [
            *("loadgen.config.warmup=10s", "loadgen.config.duration=1m"),
            "loadgen.activeDeadlineSeconds=309",
        ],
        "it must be at least 310 (ready_timeout + warmup + duration + 120)",
    ),
    (["loadgen.config.max_in_flight=5"], "loadgen.config.max_in_flight is 5, which is for open load"),
    (
        ["loadgen.config.poll_interval=1s"],
        "loadgen.config.poll_interval is 1s but loadgen.config.discovery is not",
    ),
    (
        ["loadgen.config.discovery_fallback=poll"],
        "loadgen.config.discovery_fallback is poll but loadgen.config.discovery is not watch",
    ),
    (
        [*WATCH, "loadgen.config.rotate_connections=5s"],
        "loadgen.config.rotate_connections is 5s but loadgen.config.discovery is watch: it is for gRPC's own",
    ),
    (
        ["loadgen.config.rotate_connections=5s", "loadgen.config.connections=per-call"],
        "loadgen.config.rotate_connections is 5s but loadgen.config.connections is per-call",
    ),
    (
        [*WATCH, "loadgen.serviceAccount.create=false"],
        "loadgen.config.discovery is watch, which needs rights, but loadgen.serviceAccount.create is false",
    ),
    (
        [*WATCH, "loadgen.config.target=dns:///web.shop.svc.cluster.local:80"],
        "in namespace shop, but the chart gives rights in the release's own, trial: install the release in",
    ),
    (
        [*OBSERVE, "loadgen.serviceAccount.create=false"],
        "loadgen.config.observe is true, which needs rights, but loadgen.serviceAccount.create is false",
    ),
    (
        [*OBSERVE, *WATCH, "loadgen.config.target=web.shop:80"],
        "loadgen.config.discovery is watch and loadgen.config.observe is true and loadgen.config.target",
    ),
    (
        [*OBSERVE, "loadgen.mode=search"],
        "loadgen.mode is search, which observes nothing, but loadgen.config.observe is true: it goes with",
    ),
    (
        ["loadgen.config.cold=true", "loadgen.config.expect_backends=2"],
        "loadgen.config.cold starts at once, but loadgen.config.expect_backends, 2, waits: leave one out.",
    ),
    (
        ["lbPolicy=pick_first", "loadgen.config.expect_backends=2"],
        "loadgen.config.expect_backends is 2 but lbPolicy is pick_first, which connects to one backend.",
    ),
    (
        ["loadgen.config.connections=per-call", "loadgen.config.expect_backends=2"],
        "loadgen.config.expect_backends is 2, which cannot be seen with loadgen.config.connections per-call.",
    ),
    (
        ["lbPolicy=pick_first", "loadgen.config.health_check=true"],
        "loadgen.config.health_check needs lbPolicy round_robin or another one that heeds it: pick_first",
    ),
    (
        ["server.slowReplica.enabled=true", "replicaCount=1"],
        "server.slowReplica.enabled is true but replicaCount, which counts the slow one too, is 1",
    ),
    (
        ["server.slowReplica.enabled=true", "server.delay=1.5s"],
        "server.slowReplica.delay is 100ms, which must be more than server.delay, 1.5s",
    ),
    (["lbPolicy=ring_hash"], "lbPolicy is ring_hash, so loadgen.config.hash_header must say which"),
    (
        ["lbPolicy=ring_hash", "loadgen.config.hash_header=user", "loadgen.config.metadata={a:user}"],
        "loadgen.config.hash_header is user but loadgen.config.metadata has no such key",
    ),
    (
        [*RING, "loadgen.config.expect_backends=1"],
        "loadgen.config.expect_backends is 1 but lbPolicy is ring_hash, which connects when calls come",
    ),
    (
        ["loadgen.config.hash_header=user"],
        "loadgen.config.hash_header is user but lbPolicy is round_robin: it is for ring_hash.",
    ),
    (
        ["lbPolicy=weighted_round_robin", "loadgen.config.connections=per-call"],
        "loadgen.config.connections is per-call, which forgets the loads reported, but lbPolicy is",
    ),
    (
        ["loadgen.activeDeadlineSeconds=300"],
        "loadgen.activeDeadlineSeconds is 300 but neither loadgen.config.duration nor stages is set",
    ),
    (
        ["loadgen.activeDeadlineSeconds=329", "loadgen.config.duration=1m29.5s"],
        "loadgen.activeDeadlineSeconds is 329, it must be at least 330 (ready_timeout + duration + 120)",
    ),
]


@pytest.mark.parametrize(
    ("values", "says"), [*SCHEMA, *CROSS], ids=lambda it: ",".join(it) if isinstance(it, list) else ""
)
def test_refused(values, says):
    with pytest.raises(HelmError) as caught:
        template(*sets(*values))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("values", "says"), CROSS, ids=lambda it: ",".join(it) if isinstance(it, list) else ""
)
def test_a_rule_holds_where_the_schema_is_skipped(values, says):
    with pytest.raises(HelmError, match="execution error") as caught:
        template("--skip-schema-validation", *sets(*values))
    assert says in str(caught.value)


def test_as_a_subchart_it_takes_global_values():
    template("--set", "global.region=north")
