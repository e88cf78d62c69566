{{/* Names */}}

{{- define "grpc-spread.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "grpc-spread.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "grpc-spread.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "grpc-spread.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The full name with a suffix, cut before the suffix so that the whole is at most `most` characters:
     dict "context" $ "suffix" "headless" ["most" 63] */}}
{{- define "grpc-spread.named" -}}
{{- $most := .most | default 63 | int -}}
{{- $room := sub $most (add1 (len .suffix)) | int -}}
{{- printf "%s-%s" (include "grpc-spread.fullname" .context | trunc $room | trimSuffix "-") .suffix -}}
{{- end -}}

{{- define "grpc-spread.headless" -}}
{{- include "grpc-spread.named" (dict "context" . "suffix" "headless") -}}
{{- end -}}

{{/* A ServiceAccount's name: dict "context" $ "component" "server" */}}
{{- define "grpc-spread.serviceAccountName" -}}
{{- $account := (index .context.Values .component).serviceAccount -}}
{{- if $account.name -}}
{{- $account.name -}}
{{- else if $account.create -}}
{{- include "grpc-spread.named" (dict "context" .context "suffix" .component) -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* Labels: dict "context" $ "component" "server" (no component for what belongs to both) */}}

{{/* What never changes: selectors are immutable. The component is in it, because an autoscaler counts every
     pod that the Deployment's selector matches. */}}
{{- define "grpc-spread.selectorLabels" -}}
app.kubernetes.io/name: {{ include "grpc-spread.name" .context }}
app.kubernetes.io/instance: {{ .context.Release.Name | trunc 63 | trimSuffix "-" | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "grpc-spread.labels" -}}
{{- $labels := include "grpc-spread.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $labels "app.kubernetes.io/version" (.context.Chart.AppVersion | toString) -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .context.Release.Service -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "grpc-spread" -}}
{{- mergeOverwrite dict (deepCopy (.context.Values.commonLabels | default dict)) $labels | toYaml -}}
{{- end -}}

{{/* No version labels: they would restart pods, and run the load again, on every new chart. */}}
{{- define "grpc-spread.podLabels" -}}
{{- $own := (index .context.Values .component).podLabels | default dict -}}
{{- mergeOverwrite dict (deepCopy $own) (include "grpc-spread.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* Parts of a pod */}}

{{- define "grpc-spread.image" -}}
{{- $image := (index .context.Values .component).image -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .context.Chart.AppVersion | toString) -}}
{{- end -}}

{{/* Scheduling and the like: dict "context" $ "component" "server" */}}
{{- define "grpc-spread.podSettings" -}}
{{- $own := index .context.Values .component -}}
serviceAccountName: {{ include "grpc-spread.serviceAccountName" . }}
automountServiceAccountToken: {{ and (eq .component "loadgen") (not (empty (include "grpc-spread.loadgen.asks" .context))) }}
# a Service named "server" would set SERVER_PORT in every container
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $own.terminationGracePeriodSeconds | int64 }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .context.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What tells the pods of the two Deployments apart: dict "context" $ "group" "main" or "slow". All else selects both,
     by their component. An autoscaler counts every pod that its Deployment's selector matches. */}}
{{- define "grpc-spread.server.selectorLabels" -}}
{{ include "grpc-spread.selectorLabels" (dict "context" .context "component" "server") }}
grpc-spread/group: {{ .group }}
{{- end -}}

{{/* How many replicas the main Deployment has: replicaCount is of both. */}}
{{- define "grpc-spread.server.replicas" -}}
{{- sub (.Values.replicaCount | int) (ternary 1 0 .Values.server.slowReplica.enabled) -}}
{{- end -}}

{{/* The server's pod template. Also part of the Job's name: other servers, another run.
     dict "context" $ "group" "main" or "slow" */}}
{{- define "grpc-spread.server.template" -}}
{{- $group := .group -}}
{{- with .context -}}
{{- $server := .Values.server -}}
{{- $this := dict "context" . "component" "server" -}}
{{- $labels := include "grpc-spread.podLabels" $this | fromYaml -}}
metadata:
  labels:
    {{- mergeOverwrite $labels (dict "grpc-spread/group" $group) | toYaml | nindent 4 }}
  {{- with $server.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "grpc-spread.podSettings" $this | nindent 2 }}
  containers:
    - name: server
      image: {{ include "grpc-spread.image" $this | quote }}
      imagePullPolicy: {{ $server.image.pullPolicy }}
      ports:
        - name: grpc
          containerPort: {{ $server.port | int }}
        - name: metrics
          containerPort: {{ $server.metricsPort | int }}
        {{- if .Values.tls.existingSecret }}
        - name: health
          containerPort: {{ $server.healthPort | int }}
        {{- end }}
      env:
        - name: POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        - name: SERVER_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: SERVER_ADDRESS
          value: "$(POD_IP):{{ $server.port | int }}"
        - name: SERVER_HOST
          value: {{ $server.host | quote }}
        - name: SERVER_PORT
          value: {{ $server.port | int | quote }}
        - name: SERVER_METRICS_PORT
          value: {{ $server.metricsPort | int | quote }}
        - name: SERVER_LOG_LEVEL
          value: {{ $server.logLevel }}
        - name: SERVER_DRAIN_DELAY
          value: {{ $server.drain.delaySeconds | int }}s
        - name: SERVER_DRAIN_TIMEOUT
          value: {{ $server.drain.timeoutSeconds | int }}s
        {{- with ternary $server.slowReplica.delay $server.delay (eq $group "slow") }}
        - name: SERVER_DELAY
          value: {{ . | quote }}
        {{- end }}
        {{- with $server.slots }}
        - name: SERVER_SLOTS
          value: {{ . | int64 | quote }}
        {{- end }}
        {{- with $server.errorRatio }}
        - name: SERVER_ERROR_RATIO
          value: {{ . | toString | quote }}
        {{- end }}
        {{- with $server.stall.every }}
        - name: SERVER_STALL_EVERY
          value: {{ . | quote }}
        {{- end }}
        {{- with $server.stall.for }}
        - name: SERVER_STALL_FOR
          value: {{ . | quote }}
        {{- end }}
        {{- if $server.memory.perCall }}
        - name: SERVER_MEMORY_PER_CALL
          value: {{ $server.memory.perCall | quote }}
        - name: SERVER_MEMORY_HOLD
          value: {{ $server.memory.hold | quote }}
        - name: SERVER_MEMORY_MAX
          value: {{ include "grpc-spread.server.memoryMax" . | quote }}
        {{- end }}
        {{- with $server.orca }}
        - name: SERVER_ORCA
          value: {{ . }}
        {{- end }}
        {{- with $server.maxConnectionAge }}
        - name: SERVER_MAX_CONNECTION_AGE
          value: {{ . | quote }}
        {{- end }}
        {{- with $server.maxConnectionAgeGrace }}
        - name: SERVER_MAX_CONNECTION_AGE_GRACE
          value: {{ . | quote }}
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: SERVER_TLS_CERT
          value: /etc/tls/server/tls.crt
        - name: SERVER_TLS_KEY
          value: /etc/tls/server/tls.key
        {{- if .Values.tls.clientAuth }}
        - name: SERVER_TLS_CLIENT_CA
          value: /etc/tls/server/ca.crt
        {{- end }}
        - name: SERVER_HEALTH_PORT
          value: {{ $server.healthPort | int | quote }}
        {{- end }}
        {{- with $server.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      startupProbe:
        {{- include "grpc-spread.probe" (dict "context" . "timing" $server.startupProbe) | nindent 8 }}
      readinessProbe:
        {{- include "grpc-spread.probe" (dict "context" . "timing" $server.readinessProbe) | nindent 8 }}
      livenessProbe:
        {{- include "grpc-spread.probe" (dict "context" . "timing" $server.livenessProbe) | nindent 8 }}
      {{- if $server.drain.preStopSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $server.drain.preStopSeconds | int }}
      {{- end }}
      {{- with $server.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $server.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if .Values.tls.existingSecret }}
      volumeMounts:
        - name: tls-server
          mountPath: /etc/tls/server
          readOnly: true
      {{- end }}
  {{- with .Values.tls.existingSecret }}
  volumes:
    - name: tls-server
      secret:
        secretName: {{ . }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The pod templates of all servers that there are. */}}
{{- define "grpc-spread.server.templates" -}}
{{- if .Values.server.enabled -}}
{{- include "grpc-spread.server.template" (dict "context" . "group" "main") -}}
{{- if .Values.server.slowReplica.enabled -}}
{{- include "grpc-spread.server.template" (dict "context" . "group" "slow") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The most that a server holds for calls: what is said, else 80 % of the memory limit. The rest is for the server itself. */}}
{{- define "grpc-spread.server.memoryMax" -}}
{{- if .Values.server.memory.max -}}
{{- .Values.server.memory.max -}}
{{- else -}}
{{- div (mul 4 (include "grpc-spread.bytes" .Values.server.resources.limits.memory | int64)) 5 -}}
{{- end -}}
{{- end -}}

{{/* A quantity of memory in whole bytes, rounded down. A number from a values file is a float. */}}
{{- define "grpc-spread.bytes" -}}
{{- if kindIs "string" . -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $size := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (float64 $number) (get $size (trimPrefix $number .)) | floor | int64 -}}
{{- else -}}
{{- int64 . -}}
{{- end -}}
{{- end -}}

{{/* Kubernetes' gRPC probes speak no TLS. */}}
{{- define "grpc-spread.probe" -}}
grpc:
  port: {{ ternary .context.Values.server.healthPort .context.Values.server.port (not (empty .context.Values.tls.existingSecret)) | int }}
{{- range $key, $value := .timing }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ $value | int }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The load */}}

{{/* Whom the release's own load generator and its test call. The Job lives in the Service's namespace, so the
     short name is found by the first look-up, whatever the cluster's domain. */}}
{{- define "grpc-spread.target" -}}
{{- $service := ternary (include "grpc-spread.headless" .) (include "grpc-spread.fullname" .) .Values.headless -}}
{{- printf "%s:%d" $service (.Values.server.port | int) -}}
{{- end -}}

{{- define "grpc-spread.lbPolicy" -}}
{{- .Values.lbPolicy | default .Values.loadgen.config.lb_policy | default "pick_first" -}}
{{- end -}}

{{/* Which of `server.orca` its policy goes by, where it goes by load reports. */}}
{{- define "grpc-spread.reports" -}}
{{- if eq (include "grpc-spread.lbPolicy" .) "weighted_round_robin" -}}
{{- /* lb_config may be JSON as text, whose quotes are then escaped */ -}}
{{- $config := toJson .Values.loadgen.config.lb_config | replace "\\" "" | replace " " "" -}}
{{- ternary "oob" "per-call" (contains "\"enableOobLoadReport\":true" $config) -}}
{{- end -}}
{{- end -}}

{{/* Whether the load generator calls this release's own server. */}}
{{- define "grpc-spread.own" -}}
{{- if and .Values.server.enabled (not .Values.loadgen.config.target) -}}true{{- end -}}
{{- end -}}

{{/* Whether the load generator asks the Kubernetes API for backends. */}}
{{- define "grpc-spread.loadgen.watches" -}}
{{- if and .Values.loadgen.enabled (eq (toString .Values.loadgen.config.discovery) "watch") -}}true{{- end -}}
{{- end -}}

{{/* Whether it asks the Kubernetes API for replicas. */}}
{{- define "grpc-spread.loadgen.observes" -}}
{{- if and .Values.loadgen.enabled .Values.loadgen.config.observe -}}true{{- end -}}
{{- end -}}

{{/* What it asks the Kubernetes API for, in words; empty where it does not. */}}
{{- define "grpc-spread.loadgen.asks" -}}
{{- $keys := list -}}
{{- if include "grpc-spread.loadgen.watches" . -}}{{- $keys = append $keys "loadgen.config.discovery is watch" -}}{{- end -}}
{{- if include "grpc-spread.loadgen.observes" . -}}{{- $keys = append $keys "loadgen.config.observe is true" -}}{{- end -}}
{{- join " and " $keys -}}
{{- end -}}

{{/* Whether the chart allows it to. */}}
{{- define "grpc-spread.loadgen.role" -}}
{{- if and .Values.loadgen.rbac.create (include "grpc-spread.loadgen.asks" .) -}}true{{- end -}}
{{- end -}}

{{/* The namespace in the target's host name, which may have none. */}}
{{- define "grpc-spread.loadgen.targetNamespace" -}}
{{- $host := regexReplaceAll "^dns:(//[^/]*/)?" (.Values.loadgen.config.target | default "") "" | regexFind "^[^:]+" -}}
{{- index (append (splitList "." $host) "") 1 -}}
{{- end -}}

{{/* Whether the client sees each replica: by a headless name, or since the API says where they are. */}}
{{- define "grpc-spread.seesReplicas" -}}
{{- if or .Values.headless (include "grpc-spread.loadgen.watches" .) -}}true{{- end -}}
{{- end -}}

{{/* The Secrets that the load generator gets files of, as YAML: `ca`, `pair` (certificate and key) and `token`.
     dict "context" $ "own" (whether it calls this release's own server) ["test" true] (which needs no token) */}}
{{- define "grpc-spread.loadgen.secrets" -}}
{{- $tls := ternary .context.Values.tls .context.Values.loadgen.tls (not (empty .own)) -}}
{{- with $tls.existingSecret }}
{{- if not $.context.Values.loadgen.config.insecure_skip_verify }}
ca: {{ . }}
{{- end }}
{{- if $tls.clientAuth }}
pair: {{ $tls.clientSecret | default . }}
{{- end }}
{{- end }}
{{- if and .context.Values.loadgen.token.existingSecret (not .test) }}
token: {{ .context.Values.loadgen.token.existingSecret }}
{{- end }}
{{- end -}}

{{/* What these files are to the load generator, as the keys of a plan file: as above */}}
{{- define "grpc-spread.loadgen.secured" -}}
{{- $secrets := include "grpc-spread.loadgen.secrets" . | fromYaml -}}
{{- if $secrets.ca }}
cacert: /etc/tls/ca/ca.crt
{{- end }}
{{- if $secrets.pair }}
cert: /etc/tls/client/tls.crt
key: /etc/tls/client/tls.key
{{- end }}
{{- if and .context.Values.tls.existingSecret .own }}
server_name: {{ include "grpc-spread.serverName" .context }}
{{- end }}
{{- if $secrets.token }}
token_file: /etc/token/{{ .context.Values.loadgen.token.key }}
{{- end }}
{{- end -}}

{{/* The name in the server's certificate. */}}
{{- define "grpc-spread.serverName" -}}
{{- .Values.tls.serverName | default (printf "%s.%s.svc" (include "grpc-spread.fullname" .) .Release.Namespace) -}}
{{- end -}}

{{- define "grpc-spread.loadgen.mounts" -}}
{{- $secrets := include "grpc-spread.loadgen.secrets" . | fromYaml -}}
{{- if $secrets.ca }}
- name: tls-ca
  mountPath: /etc/tls/ca
  readOnly: true
{{- end }}
{{- if $secrets.pair }}
- name: tls-client
  mountPath: /etc/tls/client
  readOnly: true
{{- end }}
{{- if $secrets.token }}
- name: token
  mountPath: /etc/token
  readOnly: true
{{- end }}
{{- end -}}

{{/* Each Secret with no more of it than is needed: not the server's key, for one. */}}
{{- define "grpc-spread.loadgen.volumes" -}}
{{- $secrets := include "grpc-spread.loadgen.secrets" . | fromYaml -}}
{{- with $secrets.ca }}
- name: tls-ca
  secret:
    secretName: {{ . }}
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- with $secrets.pair }}
- name: tls-client
  secret:
    secretName: {{ . }}
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- if $secrets.token }}
- name: token
  secret:
    secretName: {{ $secrets.token }}
    items:
      - key: {{ .context.Values.loadgen.token.key }}
        path: {{ .context.Values.loadgen.token.key }}
{{- end }}
{{- end -}}

{{/* The plan file. Values are written as JSON, which is YAML too: a number from a values file would else come
     out as 2e+06, and `n` or `yes` as a boolean. */}}
{{- define "grpc-spread.plan" -}}
{{- $config := .Values.loadgen.config -}}
{{- $plan := dict "target" ($config.target | default (include "grpc-spread.target" .)) -}}
{{- with .Values.lbPolicy -}}
{{- $_ := set $plan "lb_policy" . -}}
{{- end -}}
{{- $plan = merge $plan (include "grpc-spread.loadgen.secured" (dict "context" . "own" (include "grpc-spread.own" .)) | fromYaml) -}}
{{- range $key, $value := $config -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $plan $key $value -}}
{{- end -}}
{{- end -}}
{{- if and .Values.server.enabled (include "grpc-spread.seesReplicas" .) (eq .Values.autoscaling.mode "none") (hasSuffix "round_robin" (include "grpc-spread.lbPolicy" .)) (not $config.target) (not $config.cold) (ne (toString $config.connections) "per-call") (not (hasKey $plan "expect_backends")) -}}
{{- $_ := set $plan "expect_backends" (.Values.replicaCount | int) -}}
{{- end -}}
{{- if and (include "grpc-spread.chance" .) (gt (int .Values.loadgen.parallelism) 1) (not (hasKey $plan "seed")) -}}
{{- /* load generators that make one load need one seed: another run, another one */ -}}
{{- $_ := set $plan "seed" (list .Release.Name (include "grpc-spread.runId" .) | join "/" | adler32sum | int64) -}}
{{- end -}}
{{- if eq .Values.loadgen.mode "search" -}}
{{- $plan = omit $plan "total" "concurrency" -}}
{{- range $key, $value := .Values.loadgen.search -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $plan $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $plan }}
{{ $key }}: {{ toJson $value }}
{{- end }}
{{- end -}}

{{/* Whether something of the load is left to chance: when calls come, or what they send. */}}
{{- define "grpc-spread.chance" -}}
{{- $config := .Values.loadgen.config -}}
{{- if or (eq (toString $config.arrival) "poisson") (regexMatch "[{][{]\\s*(uuid|randint)\\b" (toJson (list $config.data $config.metadata))) -}}true{{- end -}}
{{- end -}}

{{/* A duration such as 1m30s in whole seconds, rounded up. */}}
{{- define "grpc-spread.seconds" -}}
{{- divf (include "grpc-spread.milliseconds" .) 1000.0 | ceil | int64 -}}
{{- end -}}

{{- define "grpc-spread.milliseconds" -}}
{{- $sum := 0.0 -}}
{{- $size := dict "h" 3600000.0 "m" 60000.0 "s" 1000.0 "ms" 1.0 "us" 0.001 "µs" 0.001 -}}
{{- range regexFindAll "[0-9.]+[a-zµ]+" (toString .) -1 -}}
{{- $number := regexFind "[0-9.]+" . -}}
{{- $sum = addf $sum (mulf (float64 $number) (get $size (trimPrefix $number .) | default 0.0)) -}}
{{- end -}}
{{- ceil $sum | int64 -}}
{{- end -}}

{{/* How long stages such as 30s:100,1m@500 take: as a duration without the rates. */}}
{{- define "grpc-spread.stagesLength" -}}
{{- regexReplaceAll "[:@][^,]*,?" . "" -}}
{{- end -}}

{{- define "grpc-spread.runId" -}}
{{- if kindIs "float64" .Values.runId -}}
{{- .Values.runId | int64 -}}
{{- else -}}
{{- .Values.runId | default "" | toString -}}
{{- end -}}
{{- end -}}

{{/* Where shard 0 waits for the others. */}}
{{- define "grpc-spread.loadgen.port" -}}
7946
{{- end -}}

{{/* The Job's spec; `name` is that of its ConfigMap: dict "context" $ "name" NAME */}}
{{- define "grpc-spread.loadgen.spec" -}}
{{- $loadgen := .context.Values.loadgen -}}
{{- $this := dict "context" .context "component" "loadgen" -}}
{{- $files := dict "context" .context "own" (include "grpc-spread.own" .context) -}}
completionMode: Indexed
completions: {{ $loadgen.parallelism | int }}
parallelism: {{ $loadgen.parallelism | int }}
# the load is never made twice, and one pod's failure leaves the others alone
backoffLimitPerIndex: 0
{{- with $loadgen.activeDeadlineSeconds }}
activeDeadlineSeconds: {{ . | int64 }}
{{- end }}
template:
  metadata:
    labels:
      {{- include "grpc-spread.podLabels" $this | nindent 6 }}
    {{- with $loadgen.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    {{- include "grpc-spread.podSettings" $this | nindent 4 }}
    restartPolicy: Never
    {{- if gt (int $loadgen.parallelism) 1 }}
    # gives shard 0 a name, where the others find it
    subdomain: {{ .name }}
    {{- end }}
    containers:
      - name: loadgen
        image: {{ include "grpc-spread.image" $this | quote }}
        imagePullPolicy: {{ $loadgen.image.pullPolicy }}
        args:
          - {{ $loadgen.mode }}
          - --config=/etc/loadgen/plan.yaml
          - --log-result
          {{- if eq $loadgen.mode "run" }}
          - --termination-log=/dev/termination-log
          {{- end }}
          {{- if gt (int $loadgen.parallelism) 1 }}
          - --shard=$(JOB_COMPLETION_INDEX)/{{ $loadgen.parallelism | int }}
          - --start-together={{ .name }}-0.{{ .name }}:{{ include "grpc-spread.loadgen.port" . }}
        ports:
          - name: together
            containerPort: {{ include "grpc-spread.loadgen.port" . }}
          {{- end }}
        # what ends without a report says why in its last lines
        terminationMessagePolicy: FallbackToLogsOnError
        {{- with $loadgen.extraEnv }}
        env:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        volumeMounts:
          - name: plan
            mountPath: /etc/loadgen
            readOnly: true
          {{- with include "grpc-spread.loadgen.mounts" $files | trim }}
          {{- . | nindent 10 }}
          {{- end }}
        {{- with $loadgen.resources }}
        resources:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with $loadgen.securityContext }}
        securityContext:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    volumes:
      - name: plan
        configMap:
          name: {{ .name }}
      {{- with include "grpc-spread.loadgen.volumes" $files | trim }}
      {{- . | nindent 6 }}
      {{- end }}
{{- end -}}

{{/* The name of the Job and its ConfigMap. A Job cannot be changed, so what it does is in its name: another load,
     other servers or another runId make another Job, and nothing else does. The release's name is hashed too, because
     the readable part is cut: a Job's name may have 58 characters, for a pod adds its number to it. */}}
{{- define "grpc-spread.loadgen.name" -}}
{{- $spec := include "grpc-spread.loadgen.spec" (dict "context" . "name" "plan") -}}
{{- $hash := list .Release.Name (include "grpc-spread.plan" .) $spec (include "grpc-spread.server.templates" .) (include "grpc-spread.runId" .) | join "\n" | sha256sum | trunc 8 -}}
{{- include "grpc-spread.named" (dict "context" . "suffix" (printf "loadgen-%s" $hash) "most" 58) -}}
{{- end -}}
