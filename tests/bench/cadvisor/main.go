// Serves what cAdvisor tells of the memory of every cgroup: its manager and its metrics, without
// the handlers of container runtimes.
//
// Usage: cadvisor ADDRESS INTERVAL
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/google/cadvisor/cache/memory"
	"github.com/google/cadvisor/container"
	v2 "github.com/google/cadvisor/info/v2"
	"github.com/google/cadvisor/manager"
	"github.com/google/cadvisor/metrics"
	"github.com/google/cadvisor/utils/sysfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: cadvisor ADDRESS INTERVAL")
	}
	interval, err := time.ParseDuration(os.Args[2])
	if err != nil {
		log.Fatalf("the interval %s is no duration: %v", os.Args[2], err)
	}
	log.Fatal(serve(os.Args[1], interval))
}

func serve(address string, interval time.Duration) error {
	dynamic := false
	*manager.HousekeepingInterval = interval
	often := manager.HousekeepingConfig{Interval: &interval, AllowDynamic: &dynamic}
	kinds := container.MetricSet{container.MemoryUsageMetrics: {}}
	// Its own program's defaults: readings of two minutes, every cgroup.
	kept, every := memory.New(2*time.Minute, nil), []string{""}
	cadvisor, err := manager.New(kept, sysfs.NewRealSysFs(), often, kinds, http.DefaultClient, every, nil, "", 0)
	if err != nil {
		return err
	}
	if err := cadvisor.Start(); err != nil {
		return err
	}
	newest := v2.RequestOptions{IdType: v2.TypeName, Count: 1, Recursive: true}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewPrometheusCollector(cadvisor, nil, kinds, clock.RealClock{}, newest))
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return http.ListenAndServe(address, nil)
}
