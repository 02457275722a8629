{{- define "beffroi.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- /* Takes (list $ "component"). */ -}}
{{- define "beffroi.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "beffroi.labels" -}}
{{ include "beffroi.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{- define "beffroi.image" -}}
{{- $image := required "image.repository: push the image of deploy/Dockerfile somewhere and name it" .Values.image.repository -}}
{{- if .Values.image.digest }}{{ $image }}@{{ .Values.image.digest }}{{ else }}{{ $image }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{- define "beffroi.pod" -}}
serviceAccountName: {{ include "beffroi.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* One variable out of a Secret. Takes (list "VARIABLE" "secret"). */ -}}
{{- define "beffroi.secret" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 }}, key: {{ index . 0 }}}}
{{- end }}

{{- /* What every process is told. The database's logins are not in it: each gets its own. */ -}}
{{- define "beffroi.environment" -}}
- {name: BEFFROI_PUBLIC_URL, value: {{ required "publicUrl: the address that clients use" .Values.publicUrl | quote }}}
- {name: BEFFROI_OPERATOR_URL, value: {{ .Values.operatorUrl | default .Values.publicUrl | quote }}}
- {name: BEFFROI_TRUSTED_PROXIES, value: {{ join "," .Values.front.trustedProxies | quote }}}
- {name: BEFFROI_GATEWAY_URL, value: "http://{{ include "beffroi.name" . }}:{{ .Values.service.port }}"}
- {name: BEFFROI_DEMO, value: "0"}
{{- range $name, $value := .Values.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "beffroi.keys" -}}
{{ include "beffroi.secret" (list "BEFFROI_SECRET_KEY" .Values.secrets.keys) }}
{{ include "beffroi.secret" (list "BEFFROI_KEY_PEPPERS" .Values.secrets.keys) }}
{{ include "beffroi.secret" (list "BEFFROI_ENCRYPTION_KEYS" .Values.secrets.keys) }}
{{ include "beffroi.secret" (list "BEFFROI_AUDIT_KEYS" .Values.secrets.keys) }}
{{ include "beffroi.secret" (list "BEFFROI_COMMAND_KEYS" .Values.secrets.keys) }}
{{- end }}

{{- /* For whatever runs Django. */ -}}
{{- define "beffroi.djangoEnvironment" -}}
{{ include "beffroi.environment" . }}
{{ include "beffroi.keys" . }}
{{ include "beffroi.secret" (list "DATABASE_URL" .Values.secrets.database) }}
{{ include "beffroi.secret" (list "VALKEY_URL" .Values.secrets.broker) }}
{{- end }}

{{- define "beffroi.environmentSecrets" -}}
{{- with .Values.environmentSecrets }}
envFrom:
{{- range . }}
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
