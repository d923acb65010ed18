{{/* Values that contradict each other, or would make an installation that serves nobody or lets too much through. */}}

{{- define "tightlip.refusals" -}}
{{- $settings := include "tightlip.givenSettings" . | fromYaml -}}
{{- if $settings.Error }}{{ fail (printf "settings: not YAML once its templates are filled in: %s" $settings.Error) }}{{ end -}}
{{- $policy := include "tightlip.policyObject" . | fromYaml -}}
{{- if $policy.Error }}{{ fail "policy.document: is no YAML" }}{{ end -}}
{{- include "tightlip.refuseNothing" (list . $settings $policy) -}}
{{- include "tightlip.refuseState" (list . $settings) -}}
{{- include "tightlip.refuseScaling" . -}}
{{- include "tightlip.refuseLinks" (list . $settings $policy) -}}
{{- include "tightlip.refuseLogs" (list . $settings) -}}
{{- include "tightlip.refuseFolders" (list . $settings $policy) -}}
{{- include "tightlip.refuseDoors" . -}}
{{- include "tightlip.refuseParts" . -}}
{{- end }}

{{- define "tightlip.refuseNothing" -}}
{{- $values := (index . 0).Values }}{{ $settings := index . 1 }}{{ $policy := index . 2 -}}
{{- $name := include "tightlip.fullname" (index . 0) }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}{{ fail (printf "fullnameOverride: %q, made of the release's name, can't be the name of a service: say one of letters, digits and hyphens that begins with a letter" $name) }}{{ end -}}
{{- if not $settings.models }}{{ fail "settings.models: name at least one model, with its tuned and its base server" }}{{ end -}}
{{- if and $policy $values.policy.existingConfigMap }}{{ fail "policy: either document or existingConfigMap, not both" }}{{ end -}}
{{- if not (or $policy $values.policy.existingConfigMap) }}{{ fail "policy.document: say who may do what, or name an existingConfigMap" }}{{ end -}}
{{- end }}

{{/* "many" where there may be more than one gateway. */}}
{{- define "tightlip.many" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}many{{ end }}
{{- end }}

{{- define "tightlip.refuseState" -}}
{{- $root := index . 0 }}{{ $values := $root.Values }}{{ $state := (index . 1).state | default dict -}}
{{- $many := include "tightlip.many" $root -}}
{{- if $state.file }}{{ fail "settings.state.file: say sqlite.enabled, which has a volume for it" }}{{ end -}}
{{- $ways := list $values.sqlite.enabled $values.redis.enabled (or $state.url $state.sentinel | not | not) | join "," -}}
{{- if gt (len (regexFindAll "true" $ways -1)) 1 }}{{ fail "the state has one place: sqlite.enabled, redis.enabled or settings.state" }}{{ end -}}
{{- if and $values.sqlite.enabled $many }}{{ fail "sqlite.enabled: the file is one pod's. Set replicaCount: 1 and autoscaling.enabled: false, or use Redis" }}{{ end -}}
{{- if and $many (not (contains "true" $ways)) }}{{ fail "several replicas need a Redis (redis.enabled, or settings.state.url): what one of them is told to revoke the others would let in" }}{{ end -}}
{{- end }}

{{- define "tightlip.refuseScaling" -}}
{{- $values := .Values }}{{ $gone := include "tightlip.goneSeconds" . | int -}}
{{- $fewest := $values.autoscaling.enabled | ternary $values.autoscaling.minReplicas $values.replicaCount | int -}}
{{- with $values.podDisruptionBudget -}}
{{- if and .enabled (eq $fewest 1) }}{{ fail "podDisruptionBudget.enabled: with one replica it would keep a node from being drained for good. Set it to false, or have more replicas" }}{{ end -}}
{{- $percent := trimSuffix "%" (toString .maxUnavailable) | int }}
{{- /* Kubernetes rounds a part of a pod up. */}}
{{- $away := kindIs "string" .maxUnavailable | ternary (div (add (mul $percent $fewest) 99) 100) (int64 .maxUnavailable) -}}
{{- if and .enabled (ge $away (int64 $fewest)) }}{{ fail (printf "podDisruptionBudget.maxUnavailable: %v of %d replicas may be away at once, so all of them" .maxUnavailable $fewest) }}{{ end -}}
{{- end -}}
{{- with $values.autoscaling }}{{ if .enabled -}}
{{- if gt (int .minReplicas) (int .maxReplicas) }}{{ fail "autoscaling: minReplicas is above maxReplicas" }}{{ end -}}
{{- if not ($values.resources.requests | default dict).cpu }}{{ fail "autoscaling: percent of what? Set resources.requests.cpu" }}{{ end -}}
{{- if and (eq .metric "keda") (not .prometheusUrl) }}{{ fail "autoscaling.metric: keda needs autoscaling.prometheusUrl" }}{{ end -}}
{{- if gt $gone 1800 }}{{ fail "settings.drain_seconds: Kubernetes can't scale down as slowly as that; 1800 seconds at most, with preStopSeconds" }}{{ end -}}
{{- end }}{{ end -}}
{{- $grace := include "tightlip.graceSeconds" . | int -}}
{{- $last := include "tightlip.lastSeconds" . | int -}}
{{- if le $grace (add $gone $last) }}{{ fail (printf "terminationGracePeriodSeconds: %d would kill pods whose answers are still running: preStopSeconds, settings.unready_seconds and settings.drain_seconds take %d, and the last words %d" $grace $gone $last) }}{{ end -}}
{{- end }}

{{/* What would cross the network in the plain, and is refused by the gateway too. */}}
{{- define "tightlip.refuseLinks" -}}
{{- $values := (index . 0).Values }}{{ $settings := index . 1 }}{{ $policy := index . 2 -}}
{{- range regexFindAll "http://[^\\s\"',]+" (toYaml $settings.models) -1 -}}
{{- if not (or $settings.allow_plaintext_upstream (include "tightlip.isInPod" (urlParse .).hostname)) }}{{ fail (printf "%s: answers hold private data until they are filtered. Use https, or set settings.allow_plaintext_upstream where that network is yours alone" .) }}{{ end -}}
{{- end -}}
{{- $addresses := append (splitList "\n" (include "tightlip.urls" (index . 0))) $values.probe.pushgateway | compact -}}
{{- range append $addresses $values.autoscaling.prometheusUrl | compact }}
{{- if (urlParse .).userinfo }}{{ fail (printf "an address at %s holds a user name or a password, which everybody would have who may read a config map or a pod. Say it by a file" (urlParse .).host) }}{{ end -}}
{{- end -}}
{{- if $policy.administration -}}
{{- if not $settings.audit }}{{ fail "policy: 'administration' needs settings.audit, where it is recorded: {stdout: true, key_file: …}" }}{{ end -}}
{{- if not (or $values.tls.management.existingSecret $settings.allow_plaintext_administration) }}{{ fail "policy: 'administration' needs tls.management.existingSecret, or settings.allow_plaintext_administration where that network is yours alone" }}{{ end -}}
{{- end -}}
{{- with ($settings.vault | default dict).kubernetes -}}
{{- $tokens := list }}{{ range $values.serviceAccount.tokens }}{{ $tokens = append $tokens (printf "/var/run/secrets/tightlip/%s" .name) }}{{ end -}}
{{- if not (has .token_file $tokens) }}{{ fail "settings.vault.kubernetes.token_file: must be one of serviceAccount.tokens, /var/run/secrets/tightlip/NAME; no other token is mounted" }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "tightlip.refuseLogs" -}}
{{- $root := index . 0 }}{{ $values := $root.Values }}{{ $settings := index . 1 -}}
{{- $log := $settings.log | default dict }}{{ $audit := ($settings.audit | default dict).directory -}}
{{- range compact (list $log.directory ($log.security | default dict).directory $audit) -}}
{{- if or (eq $values.logs.volume "none") (not (hasPrefix "/var/log/tightlip/" .)) }}{{ fail (printf "settings: %s can't be written. Set logs.volume, and have the folder below /var/log/tightlip" .) }}{{ end -}}
{{- end -}}
{{- if and $audit (eq $values.logs.volume "claim") (include "tightlip.many" $root) }}{{ fail "settings.audit.directory: each replica needs one of its own. Use audit.stdout, or logs.volume: emptyDir and ship the lines" }}{{ end -}}
{{- if and (eq $values.logs.volume "claim") (not $values.logs.existingClaim) }}{{ fail "logs.volume: claim needs logs.existingClaim" }}{{ end -}}
{{- end }}

{{/* A path below a folder that is not mounted. */}}
{{- define "tightlip.refuseFolders" -}}
{{- $values := (index . 0).Values }}{{ $text := printf "%s\n%s" (index . 1 | toYaml) (index . 2 | toYaml) -}}
{{- range regexFindAll "/etc/tightlip/files/[^/\\s\"']+" $text -1 }}
{{- if not (hasKey $values.files (base .)) }}{{ fail (printf "%s is named by the settings or the policy, and `files` has no %q" . (base .)) }}{{ end -}}
{{- end -}}
{{- range regexFindAll "/srv/tightlip/[^/\\s\"']+" $text -1 }}
{{- if not (hasKey $values.artifacts (base .)) }}{{ fail (printf "%s is named by the settings or the policy, and `artifacts` has no %q" . (base .)) }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Ways in: for callers, for Prometheus. */}}
{{- define "tightlip.refuseDoors" -}}
{{- $values := .Values -}}
{{- if and $values.networkPolicy.enabled (not $values.networkPolicy.publicFrom) }}{{ fail "networkPolicy.publicFrom: say who may call, as peers of a NetworkPolicy; an empty list would serve nobody" }}{{ end -}}
{{- if and $values.networkPolicy.enabled (not $values.networkPolicy.prometheusFrom) (include "tightlip.monitored" (list . "serviceMonitor" "ServiceMonitor")) }}{{ fail "networkPolicy.prometheusFrom: the ServiceMonitor is for a Prometheus that could not reach any pod" }}{{ end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) }}{{ fail "ingress.hosts: name at least one" }}{{ end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) }}{{ fail "httpRoute.parentRefs: name the gateway that the route belongs to" }}{{ end -}}
{{- with $values.httpRoute }}
{{- if and .enabled $values.tls.public.existingSecret (not (and .backendCA .backendHostname)) }}{{ fail "httpRoute: the public listener speaks TLS (tls.public), so the route needs backendCA and backendHostname" }}{{ end -}}
{{- if and .enabled .backendCA (not $values.tls.public.existingSecret) }}{{ fail "httpRoute.backendCA: goes with tls.public.existingSecret" }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Redis, vLLM and the probe: what each can't do without. */}}
{{- define "tightlip.refuseParts" -}}
{{- with .Values.redis }}{{ if .enabled -}}
{{- if not .existingSecret }}{{ fail "redis.existingSecret: name the secret with `users.acl` and `password`" }}{{ end -}}
{{- if not (or .tls.existingSecret .allowPlaintext) }}{{ fail "redis.tls.existingSecret: name it, or set redis.allowPlaintext where that network is yours alone" }}{{ end -}}
{{- end }}{{ end -}}
{{- with .Values.vllm }}{{ if .enabled -}}
{{- if not .servers }}{{ fail "vllm.servers: name at least one" }}{{ end -}}
{{- if not .modelsClaim }}{{ fail "vllm.modelsClaim: name the volume with the models; its pods may call nobody, so they download nothing" }}{{ end -}}
{{- end }}{{ end -}}
{{- with .Values.probe }}{{ if .enabled -}}
{{- if not (and .model .recordsSecret) }}{{ fail "probe: needs a model and a recordsSecret" }}{{ end -}}
{{- if and .pushgateway (eq .kind "Deployment") }}{{ fail "probe.pushgateway: is for a CronJob; of a Deployment Prometheus scrapes the numbers" }}{{ end -}}
{{- if include "tightlip.isInPod" (urlParse .pushgateway).hostname }}{{ fail "probe.pushgateway: a CronJob's pod has no other container; name the Pushgateway's service" }}{{ end -}}
{{- if eq $.Values.tls.public.clientCertificates "required" }}{{ fail "probe: has no certificate to show. Set tls.public.clientCertificates: optional" }}{{ end -}}
{{- if eq (empty .tokenSecret) (empty .tokenAudience) }}{{ fail "probe: needs either a tokenSecret or a tokenAudience" }}{{ end -}}
{{- end }}{{ end -}}
{{- end }}
