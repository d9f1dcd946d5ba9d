package doctest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const deploy = "../deploy"

// manifests are the objects of a file, each decoded as Kubernetes does with strict validation: a
// field that there is not, or that stands twice, is an error.
func manifests(t *testing.T, name string) (all []any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, "kubernetes", name))
	if err != nil {
		t.Fatal(err)
	}
	for i, doc := range bytes.Split(text, []byte("\n---\n")) {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(doc, &head); err != nil {
			t.Fatalf("%s, object %d: %v", name, i+1, err)
		}
		into, ok := map[string]any{
			"v1/ConfigMap": &corev1.ConfigMap{}, "v1/ServiceAccount": &corev1.ServiceAccount{}, "v1/Service": &corev1.Service{}, "apps/v1/StatefulSet": &appsv1.StatefulSet{},
			"policy/v1/PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "networking.k8s.io/v1/NetworkPolicy": &networkingv1.NetworkPolicy{},
		}[head.APIVersion+"/"+head.Kind]
		if !ok {
			t.Fatalf("%s, object %d is a %s of %s", name, i+1, head.Kind, head.APIVersion)
		}
		if err := yaml.UnmarshalStrict(doc, into); err != nil {
			t.Errorf("%s, object %d: %v", name, i+1, err)
		}
		all = append(all, into)
	}
	return all
}

// one is the object of a kind and a name; "": of any.
func one[T any](t *testing.T, all []any, named func(T) bool) (found T) {
	t.Helper()
	n := 0
	for _, o := range all {
		if v, ok := o.(T); ok && named(v) {
			found, n = v, n+1
		}
	}
	if n != 1 {
		t.Fatalf("%d objects of %T", n, found)
	}
	return found
}

func any1[T any](T) bool { return true }

// variables are those that the program reads for itself, as it names them in its own source.
func variables(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../cmd/countersign/config_tables.go")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`COUNTERSIGN_[A-Z_]+`).FindAllString(string(text), -1)
}

// TestKubernetes holds the manifests to Kubernetes' own types, to each other and to the program:
// its flags, variables, ports, paths and config.
func TestKubernetes(t *testing.T) {
	all := manifests(t, "countersign.yaml")
	set := one(t, all, any1[*appsv1.StatefulSet])
	spec := set.Spec.Template.Spec
	c := spec.Containers[0]
	if *set.Spec.Replicas != 1 || len(spec.Containers) != 1 || *spec.TerminationGracePeriodSeconds < 30 {
		t.Errorf("one process owns the file: %d replicas", *set.Spec.Replicas)
	}
	sc, ps := c.SecurityContext, spec.SecurityContext
	if !*ps.RunAsNonRoot || *ps.RunAsUser != 65532 || *ps.FSGroup != 65532 || *sc.AllowPrivilegeEscalation || !*sc.ReadOnlyRootFilesystem || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("it may do too much: %+v, %+v", ps, sc)
	}
	env := map[string]string{}
	for _, v := range c.Env {
		if env[v.Name] = v.Value; strings.HasPrefix(v.Name, "COUNTERSIGN_") && !slices.Contains(variables(t), v.Name) {
			t.Errorf("the program does not read %s", v.Name)
		}
	}
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for name, key := range map[string]string{"callbacks": "COUNTERSIGN_LISTEN_CALLBACKS", "metrics": "COUNTERSIGN_LISTEN_METRICS"} {
		if _, port, _ := strings.Cut(env[key], ":"); port != strconv.Itoa(int(ports[name])) {
			t.Errorf("%s listens at %s, and the port is %d", name, env[key], ports[name])
		}
	}
	if !strings.HasPrefix(env["COUNTERSIGN_LISTEN_CONTROL"], "127.0.0.1:") {
		t.Errorf("the control API is at %s", env["COUNTERSIGN_LISTEN_CONTROL"])
	}
	live, ready := c.LivenessProbe.HTTPGet, c.ReadinessProbe.HTTPGet
	if live.Path != "/healthz" || ready.Path != "/readyz" || live.Port.StrVal != "metrics" || ready.Port.StrVal != "metrics" || c.StartupProbe != nil {
		t.Errorf("probes: %v, %v", live, ready)
	}
	labels := set.Spec.Template.Labels
	for name, port := range map[string]string{"countersign": "callbacks", "countersign-metrics": "metrics"} {
		s := one(t, all, func(s *corev1.Service) bool { return s.Name == name })
		for k, v := range s.Spec.Selector {
			if labels[k] != v {
				t.Errorf("service %s selects %s=%s", name, k, v)
			}
		}
		if s.Spec.Ports[0].TargetPort.StrVal != port || ports[port] == 0 {
			t.Errorf("service %s leads to %v", name, s.Spec.Ports)
		}
	}
	if one(t, all, func(s *corev1.Service) bool { return s.Name == set.Spec.ServiceName }).Spec.ClusterIP != "None" {
		t.Error("the service of the set has an address of its own")
	}
	budget := one(t, all, any1[*policyv1.PodDisruptionBudget])
	policy := one(t, manifests(t, "networkpolicy.yaml"), any1[*networkingv1.NetworkPolicy])
	for what, of := range map[string]map[string]string{"budget": budget.Spec.Selector.MatchLabels, "policy": policy.Spec.PodSelector.MatchLabels, "set": set.Spec.Selector.MatchLabels} {
		if of["app.kubernetes.io/name"] != labels["app.kubernetes.io/name"] {
			t.Errorf("the %s selects %v", what, of)
		}
	}
	var opened []int32
	for _, rule := range policy.Spec.Ingress {
		for _, p := range rule.Ports {
			opened = append(opened, p.Port.IntVal)
		}
	}
	if !slices.Equal(opened, []int32{ports["callbacks"], ports["metrics"]}) {
		t.Errorf("the policy lets in to %v", opened)
	}
	mounts, config := map[string]string{}, one(t, all, any1[*corev1.ConfigMap])
	for _, m := range c.VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	if mounts["data"] != env["COUNTERSIGN_DATA"] || set.Spec.VolumeClaimTemplates[0].Name != "data" {
		t.Errorf("the data is at %s, and %v is mounted", env["COUNTERSIGN_DATA"], mounts)
	}
	path := c.Args[len(c.Args)-1]
	text, ok := config.Data[filepath.Base(path)]
	if !ok || filepath.Dir(path) != mounts["config"] || !slices.Equal(c.Args[:2], []string{"serve", "--config"}) {
		t.Fatalf("the config is %s, and %v is mounted", path, mounts)
	}
	checked(t, text, "SUMSUB_KEY=sumsub-secret-of-a-test", "ACME_KEY=whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "COUNTERSIGN_DATA="+t.TempDir(),
		"COUNTERSIGN_LISTEN_CALLBACKS=127.0.0.1:0", "COUNTERSIGN_LISTEN_CONTROL=127.0.0.1:0")
}

// checked has the program look at a config.
func checked(t *testing.T, text string, env ...string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "countersign.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./cmd/countersign", "check", "--config-only", "--config", config)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("countersign check: %v\n%s", err, b)
	}
}

// TestCompose holds compose.yaml to Compose's own schema, and to the Dockerfile.
func TestCompose(t *testing.T) {
	o, err := cli.NewProjectOptions([]string{filepath.Join(deploy, "compose.yaml")}, cli.WithoutEnvironmentResolution)
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.GetService("countersign")
	if err != nil {
		t.Fatal(err)
	}
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if root, err := filepath.Abs("../.."); err != nil || s.Build.Context != root {
		t.Errorf("it is built in %s, not in %s", s.Build.Context, root)
	}
	published := map[string]string{}
	for _, port := range s.Ports {
		published[port.Published] = port.HostIP
	}
	if ip, ok := published["8480"]; !ok || ip != "" || published["8481"] != "127.0.0.1" || len(published) != 2 {
		t.Errorf("ports: %v; the control API is for this machine only", published)
	}
	for _, want := range []string{"EXPOSE 8480 8481", "VOLUME " + s.Volumes[0].Target, `CMD ["` + strings.Join(s.Command, `", "`) + `"]`, `CMD ["` + strings.Join(s.HealthCheck.Test[1:], `", "`) + `"]`} {
		if !strings.Contains(string(dockerfile), want) {
			t.Errorf("the Dockerfile has no %s", want)
		}
	}
	for name := range s.Environment {
		if !slices.Contains(variables(t), name) {
			t.Errorf("the program does not read %s", name)
		}
	}
	if !s.ReadOnly || s.StopGracePeriod == nil || s.Restart != "always" || !slices.Equal(s.CapDrop, []string{"ALL"}) {
		t.Errorf("%+v", s)
	}
	text, err := os.ReadFile(filepath.Join(deploy, "docker/countersign.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checked(t, string(text))
}
