{{/* Whom the gateway calls, and where they are: rules for what may go out. */}}

{{/* All addresses in a value of any depth, a line each: what stands under the keys `url`, `urls` and `endpoint`. */}}
{{- define "tightlip.urlsIn" -}}
{{- if kindIs "map" . }}
{{- range $key, $value := . }}
{{- if not (has $key (list "url" "urls" "endpoint")) }}{{ include "tightlip.urlsIn" $value }}
{{- else if kindIs "slice" $value }}{{ range $value }}{{ . }}{{ "\n" }}{{ end }}
{{- else if kindIs "string" $value }}{{ $value }}{{ "\n" }}
{{- end }}
{{- end }}
{{- else if kindIs "slice" . }}
{{- range . }}{{ include "tightlip.urlsIn" . }}{{ end }}
{{- end }}
{{- end }}

{{- define "tightlip.urls" -}}
{{ include "tightlip.urlsIn" (include "tightlip.settings" . | fromYaml) }}
{{- include "tightlip.urlsIn" (include "tightlip.policyObject" . | fromYaml) }}
{{- range .Values.networkPolicy.alsoTo }}{{ . }}{{ "\n" }}{{ end }}
{{- end }}

{{/* The egress rules of all of them, each once. */}}
{{- define "tightlip.egress" -}}
{{- $rules := list }}
{{- range splitList "\n" (include "tightlip.urls" .) | compact | uniq }}
{{- with include "tightlip.egressTo" (list $ .) }}{{ $rules = append $rules . }}{{ end }}
{{- end }}
{{- range uniq $rules }}
- {{ . }}
{{- end }}
{{- end }}

{{/* Of (root, address): one rule as JSON; nothing for what is in the pod itself. */}}
{{- define "tightlip.egressTo" -}}
{{- $root := index . 0 }}{{ $url := urlParse (index . 1) -}}
{{- $host := $url.hostname }}{{ $known := index $root.Values.networkPolicy.hosts $host | default dict -}}
{{- if not $host }}{{ fail (printf "an address to call must be a URL with a host, and %q is none" (index . 1)) }}{{ end -}}
{{- $ports := dict "http" 80 "https" 443 "redis" 6379 "rediss" 6379 -}}
{{- $port := $known.port | default (regexFind ":[0-9]+$" $url.host | trimPrefix ":") | default (get $ports $url.scheme) -}}
{{- if not $port }}{{ fail (printf "the port of %s must be said: %s://%s:PORT" $host $url.scheme $host) }}{{ end -}}
{{- if not (include "tightlip.isInPod" $host) -}}
{{- $to := include "tightlip.peers" (list $root $host $known) | fromYamlArray -}}
{{- dict "to" $to "ports" (list (dict "protocol" "TCP" "port" (int $port))) | toJson -}}
{{- end -}}
{{- end }}

{{/* Of a host: "yes" where it is the pod itself, whose other containers are reached without a network. */}}
{{- define "tightlip.isInPod" -}}
{{- if or (eq . "localhost" "::1") (hasPrefix "127." .) }}yes{{ end -}}
{{- end }}

{{/* Of (root, host, what `networkPolicy.hosts` says of it): where it is. */}}
{{- define "tightlip.peers" -}}
{{- $root := index . 0 }}{{ $host := index . 1 }}{{ $known := index . 2 -}}
{{- $own := include "tightlip.fullname" $root -}}
{{- $service := regexReplaceAll (printf "(\\.svc(\\.%s)?)$" (replace "." "\\." $root.Values.clusterDomain)) $host "" -}}
{{- $name := regexReplaceAll (printf "\\.%s$" $root.Release.Namespace) $service "" -}}
{{- if $known.cidrs }}
{{- range $known.cidrs }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- else if regexMatch "^[0-9.]+$" $host }}
- ipBlock: {cidr: {{ $host }}/32}
{{- else if contains ":" $host }}
- ipBlock: {cidr: "{{ $host }}/128"}
{{- else if has $service (list "kubernetes" "kubernetes.default") }}
{{- fail (printf "%s is the API server, which is no pod: say where it is, networkPolicy.hosts: {%s: {cidrs: [ADDRESS/32], port: 6443}}" $host $host) }}
{{- else if and $root.Values.vllm.enabled (hasPrefix (printf "%s-vllm-" $own) $name) }}
- podSelector:
    matchLabels: {{ include "tightlip.selector" (list $root "vllm") | fromYaml | toJson }}
{{- else if and $root.Values.redis.enabled (eq $name (printf "%s-redis" $own)) }}
- podSelector:
    matchLabels: {{ include "tightlip.selector" (list $root "redis") | fromYaml | toJson }}
{{- else if or (ne $service $host) (not (contains "." $host)) $known.podSelector $known.namespaceSelector }}
{{- $namespace := contains "." $service | ternary (regexFind "[^.]*$" $service) $root.Release.Namespace }}
- namespaceSelector: {{ $known.namespaceSelector | default (dict "matchLabels" (dict "kubernetes.io/metadata.name" $namespace)) | toJson }}
  {{- with $known.podSelector }}
  podSelector: {{ toJson . }}
  {{- end }}
{{- else }}
{{- fail (printf "%s is outside the cluster: say where, networkPolicy.hosts: {%s: {cidrs: [ADDRESS/32]}}" $host $host) }}
{{- end }}
{{- end }}
