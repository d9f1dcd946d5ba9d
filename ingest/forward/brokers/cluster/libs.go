package cluster

import (
	"bytes"
	"context"
	_ "embed" // pom.xml
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// LibsVariable names a folder that holds the jars already.
const LibsVariable = "COUNTERSIGN_KAFKA_LIBS"

// version is the one the pom asks for.
const version = "4.1.0"

const (
	fetchWithin = 10 * time.Minute
	minJava     = 17
	coreJar     = "kafka_2.13-" + version + ".jar"
)

//go:embed pom.xml
var pom []byte

var errNoJava = errors.New("real Kafka needs Java 17 or later: install a JRE (Debian: openjdk-17-jre-headless)")

// Libs returns the folder of Kafka's jars: the one that COUNTERSIGN_KAFKA_LIBS names, or one in the
// user's cache that Maven fills the first time. What is missing on this machine is said in one
// sentence, and is an error: a test that is passed over proves nothing.
func Libs(ctx context.Context) (string, error) {
	if err := checkJava(ctx); err != nil {
		return "", err
	}
	if dir := os.Getenv(LibsVariable); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, coreJar)); err != nil { //nolint:gosec // the caller names it
			return "", fmt.Errorf("%s names %s, but there is no %s in it", LibsVariable, dir, coreJar)
		}
		return filepath.Abs(dir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for Kafka's jars: %w; or name one in %s", err, LibsVariable)
	}
	dir := filepath.Join(cache, "countersign", "kafka-"+version)
	if _, err := os.Stat(filepath.Join(dir, coreJar)); err == nil {
		return dir, nil
	}
	return dir, fetch(ctx, dir)
}

// fetch has Maven bring the jars into a folder of another name, so that a folder that bears the
// name is whole.
func fetch(ctx context.Context, dir string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("real Kafka's jars are fetched with Maven: install it (Debian: maven), or name a folder that holds them in %s", LibsVariable)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return fmt.Errorf("fetch Kafka: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetching-")
	if err != nil {
		return fmt.Errorf("fetch Kafka: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // what stays behind is in nobody's way
	file, jars := filepath.Join(work, "pom.xml"), filepath.Join(work, "jars")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return fmt.Errorf("fetch Kafka: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	//nolint:gosec // the program that was looked up, and folders of ours
	out, err := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", file, "dependency:copy-dependencies", "-DoutputDirectory="+jars, "-DincludeScope=runtime").CombinedOutput()
	if err != nil {
		return fmt.Errorf("fetch Kafka with Maven: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(jars, dir); err != nil {
		if _, there := os.Stat(filepath.Join(dir, coreJar)); there == nil {
			return nil // somebody else was faster
		}
		return fmt.Errorf("fetch Kafka: %w", err)
	}
	return nil
}

// checkJava asks the java on the path for its version.
func checkJava(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	if err != nil {
		return errNoJava
	}
	if major := javaMajor(out); major < minJava {
		return fmt.Errorf("%w; this is Java %d", errNoJava, major)
	}
	return nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// javaMajor reads the answer of java -version; 0: it is none.
func javaMajor(out []byte) int {
	m := javaVersion.FindSubmatch(out)
	if m == nil {
		return 0
	}
	major, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}
	return major
}
