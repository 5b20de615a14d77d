package local

import (
	"io"
	"net"
	"net/url"
	"testing"

	"github.com/countersign/countersign/deploy/countersign/secrets"
	"github.com/countersign/countersign/pkg/redisuser"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestRedisUsersAreCreatedAlthoughRedisDoesNotAnswerAtOnce(t *testing.T) {
	t.Parallel()
	direct := storetest.OwnRedis(t).URL
	viaSlow, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slow.Close() })
	address := viaSlow.Host
	viaSlow.Host = slow.Addr().String()
	go func() { // closes the first two connections, and forwards the others
		for n := 0; ; n++ {
			client, err := slow.Accept()
			if err != nil {
				return
			}
			redis, err := net.Dial("tcp", address)
			if n < 2 || err != nil {
				client.Close()
				continue
			}
			go io.Copy(redis, client)
			go io.Copy(client, redis)
		}
	}()
	s := &stackStores{redisURL: viaSlow.String()}
	kept := secrets.Services{AuthRedis: "1", PinAdminRedis: "2", PinInternalRedis: "3"}
	if err := s.createRedisUsers(t.Context(), kept, t.Output()); err != nil || !s.redisUsers {
		t.Fatalf("no users, %v", err)
	}
	as, err := redisuser.URLAs(direct, schema.RoleAuth, "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := storetest.RedisClient(t, as).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}
