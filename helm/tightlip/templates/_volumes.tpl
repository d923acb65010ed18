{{/* What is mounted into the gateway's pods: folders, never single files, so that a change arrives in place. */}}

{{- define "tightlip.mounts" -}}
- {name: config, mountPath: /etc/tightlip/config, readOnly: true}
- {name: policy, mountPath: /etc/tightlip/policy, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- range $name, $_ := .Values.files }}
- {name: file-{{ $name }}, mountPath: /etc/tightlip/files/{{ $name }}, readOnly: true}
{{- end }}
{{- range $name, $from := .Values.artifacts }}
- name: artifact-{{ $name }}
  mountPath: /srv/tightlip/{{ $name }}
  readOnly: true
  {{- with ($from.persistentVolumeClaim | default dict).subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- range list "public" "management" }}
{{- if (index $.Values.tls .).existingSecret }}
- {name: tls-{{ . }}, mountPath: /etc/tightlip/tls/{{ . }}, readOnly: true}
{{- end }}
{{- end }}
{{- if .Values.redis.enabled }}
- {name: redis, mountPath: /etc/tightlip/redis, readOnly: true}
{{- if .Values.redis.tls.existingSecret }}
- {name: redis-ca, mountPath: /etc/tightlip/redis-ca, readOnly: true}
{{- end }}
{{- end }}
{{- if .Values.sqlite.enabled }}
- {name: state, mountPath: /var/lib/tightlip}
{{- end }}
{{- if ne .Values.logs.volume "none" }}
- {name: logs, mountPath: /var/log/tightlip}
{{- end }}
{{- if .Values.serviceAccount.tokens }}
- {name: tokens, mountPath: /var/run/secrets/tightlip, readOnly: true}
{{- end }}
{{- end }}

{{- define "tightlip.volumes" -}}
- name: config
  configMap: {name: {{ include "tightlip.fullname" . }}-config}
- name: policy
  configMap: {name: {{ include "tightlip.policyMap" . }}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- range $name, $from := .Values.files }}
- name: file-{{ $name }}
  {{- if $from.secret }}
  secret: {secretName: {{ $from.secret }}, defaultMode: 0440}
  {{- else }}
  configMap: {name: {{ $from.configMap }}}
  {{- end }}
{{- end }}
{{- range $name, $from := .Values.artifacts }}
- name: artifact-{{ $name }}
  {{- if $from.persistentVolumeClaim }}
  persistentVolumeClaim: {claimName: {{ $from.persistentVolumeClaim.claimName }}, readOnly: true}
  {{- else if $from.image }}
  image: {reference: {{ include "tightlip.image" (list $ $from.image "latest") | quote }}, pullPolicy: {{ $from.image.pullPolicy | default "IfNotPresent" }}}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- range list "public" "management" }}
{{- if (index $.Values.tls .).existingSecret }}
- name: tls-{{ . }}
  secret: {secretName: {{ (index $.Values.tls .).existingSecret }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- if .Values.redis.enabled }}
- name: redis
  secret: {secretName: {{ .Values.redis.existingSecret }}, defaultMode: 0440, items: [{key: password, path: password}]}
{{- with .Values.redis.tls.existingSecret }}
- name: redis-ca
  secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}
{{- if .Values.sqlite.enabled }}
- name: state
  persistentVolumeClaim: {claimName: {{ include "tightlip.stateClaim" . }}}
{{- end }}
{{- if eq .Values.logs.volume "emptyDir" }}
- name: logs
  emptyDir: {sizeLimit: {{ .Values.logs.sizeLimit }}}
{{- else if eq .Values.logs.volume "claim" }}
- name: logs
  persistentVolumeClaim: {claimName: {{ .Values.logs.existingClaim }}}
{{- end }}
{{- with .Values.serviceAccount.tokens }}
- name: tokens
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - serviceAccountToken:
          path: {{ .name }}
          expirationSeconds: {{ .expirationSeconds | default 3600 | int }}
          {{- with .audience }}
          audience: {{ . | quote }}
          {{- end }}
      {{- end }}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}

{{- define "tightlip.stateClaim" -}}
{{ .Values.sqlite.existingClaim | default (printf "%s-state" (include "tightlip.fullname" .)) }}
{{- end }}
