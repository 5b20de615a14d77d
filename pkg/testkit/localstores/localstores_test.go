package localstores

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"
)

// ownerFolder is an environment variable with a folder. If it is set, this test binary runs a Postgres and a Redis in the
// folder until it is killed.
const ownerFolder = "LOCALSTORES_TEST_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(ownerFolder); folder != "" {
		runServers(folder)
	}
	os.Exit(m.Run())
}

func runServers(folder string) {
	for _, start := range []func(context.Context, Options) (*Server, error){StartPostgres, StartRedis} {
		s, err := start(context.Background(), Options{Folder: folder})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(s.URL)
	}
	select {}
}

// openFolder creates a folder that every user can enter. t.TempDir creates a folder that only this user can enter.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "countersign-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o711); err != nil {
		t.Fatal(err)
	}
	return folder
}

func startPostgresIn(t *testing.T, folder string) (*Server, *sql.DB) {
	t.Helper()
	s, err := StartPostgres(t.Context(), Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db.Close()
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, db
}

func TestServersEndWhenTheirOwnerIsKilledAndKeepTheirData(t *testing.T) {
	folder := openFolder(t)
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerFolder+"="+folder)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for lines := bufio.NewScanner(out); len(urls) < 2 && lines.Scan(); {
		urls = append(urls, lines.Text())
	}
	if len(urls) < 2 {
		t.Fatalf("the servers did not start: %v", urls)
	}
	execute(t, urls[0], `create table kept (x int)`)

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	owner.Wait()
	for _, address := range urls {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS == "linux" && !eventually(func() bool { return PortFree(port(u)) }) {
			t.Errorf("the server at %s outlived its owner", u.Host)
		}
	}
	_, db := startPostgresIn(t, folder)
	if _, err := db.Exec(`select x from kept`); err != nil {
		t.Errorf("data that Postgres had acknowledged is lost: %v", err)
	}
}

func execute(t *testing.T, address, q string) {
	t.Helper()
	db, err := sql.Open("postgres", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(q); err != nil {
		t.Fatal(err)
	}
}

func port(u *url.URL) (n int) {
	fmt.Sscan(u.Port(), &n)
	return n
}

func eventually(ok func() bool) bool {
	for range 250 {
		if ok() {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func TestServerAccountCannotEnterTheFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root starts servers as another user")
	}
	folder := t.TempDir() // only root can enter it
	s, db := startPostgresIn(t, folder)
	t.Cleanup(func() { os.RemoveAll(s.place.data) })
	if !strings.HasPrefix(s.place.data, "/var/tmp/") {
		t.Errorf("the data is in %s, want a folder below /var/tmp", s.place.data)
	}
	if _, err := db.Exec(`create table kept (x int)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	_, again := startPostgresIn(t, folder)
	if _, err := again.Exec(`select x from kept`); err != nil {
		t.Errorf("the second start did not find the data: %v", err)
	}
}

func TestTemporaryServerDeletesItsFolders(t *testing.T) {
	for _, start := range []func(context.Context, Options) (*Server, error){StartPostgres, StartRedis} {
		s, err := start(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		for _, folder := range []string{s.place.folder, s.place.data} {
			if _, err := os.Stat(folder); err == nil {
				t.Errorf("%s still exists", folder)
			}
		}
	}
}

func TestErrorNamesTheTakenPort(t *testing.T) {
	s, err := StartRedis(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	u, _ := url.Parse(s.URL)
	_, err = StartRedis(t.Context(), Options{Port: port(u)})
	if err == nil || !strings.Contains(err.Error(), u.Port()) {
		t.Errorf("got %v, want an error with the port", err)
	}
}
