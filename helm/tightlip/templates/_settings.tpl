{{/* The gateway's configuration, its policy, and the moments of its end. */}}

{{- define "tightlip.givenSettings" -}}
{{ tpl (toYaml .Values.settings) . }}
{{- end }}

{{/* tightlip.yaml: what was given, and what the chart itself knows. */}}
{{- define "tightlip.settings" -}}
{{- $given := include "tightlip.givenSettings" . | fromYaml -}}
{{- $public := dict "host" .Values.listenOn "port" 8080 -}}
{{- with .Values.tls.public }}{{- if .existingSecret }}
{{- $tls := dict "certificate" "/etc/tightlip/tls/public/tls.crt" "key" "/etc/tightlip/tls/public/tls.key" -}}
{{- if ne .clientCertificates "none" }}
{{- $tls = merge $tls (dict "client_ca" "/etc/tightlip/tls/public/ca.crt" "client_certificates" .clientCertificates) -}}
{{- end }}
{{- $_ := set $public "tls" $tls -}}
{{- end }}{{- end }}
{{- $management := dict "host" .Values.listenOn "port" 9090 -}}
{{- if .Values.tls.management.existingSecret }}
{{- $_ := set $management "tls" (dict "certificate" "/etc/tightlip/tls/management/tls.crt" "key" "/etc/tightlip/tls/management/tls.key") -}}
{{- end }}
{{- $made := dict "public" $public "management" $management "policy" "/etc/tightlip/policy/policy.yaml" -}}
{{- with include "tightlip.state" . | fromYaml }}{{ $_ := set $made "state" . }}{{ end -}}
{{- toYaml (merge $made $given) }}
{{- end }}

{{/* The state that the chart itself provides. */}}
{{- define "tightlip.state" -}}
{{- if .Values.sqlite.enabled }}
file: /var/lib/tightlip/state/tightlip.db
{{- else if .Values.redis.enabled }}
url: {{ .Values.redis.tls.existingSecret | empty | ternary "redis" "rediss" }}://{{ include "tightlip.fullname" . }}-redis:6379/0
user: gateway
password_file: /etc/tightlip/redis/password
{{- if .Values.redis.tls.existingSecret }}
ca_file: /etc/tightlip/redis-ca/ca.crt
{{- else }}
allow_plaintext: true
{{- end }}
{{- end }}
{{- end }}

{{/* The policy as an object, be it given as one or as text. */}}
{{- define "tightlip.policyObject" -}}
{{- if kindIs "string" .Values.policy.document -}}
{{ .Values.policy.document }}
{{- else -}}
{{ toYaml .Values.policy.document }}
{{- end }}
{{- end }}

{{- define "tightlip.drainSeconds" -}}
{{ (include "tightlip.givenSettings" . | fromYaml).drain_seconds | default 30 | ceil | int }}
{{- end }}

{{/* Seconds from a pod's end being decided until its last answer has ended. */}}
{{- define "tightlip.goneSeconds" -}}
{{ add .Values.preStopSeconds (include "tightlip.drainSeconds" . | int) }}
{{- end }}

{{- define "tightlip.graceSeconds" -}}
{{ .Values.terminationGracePeriodSeconds | default (add (include "tightlip.goneSeconds" . | int) 15) | int }}
{{- end }}
