//! What was pushed, as the series of a page.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, metric, number_data_point,
};
use prost::Message;

use crate::collector::Request;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Values by name and labels.
pub type Series = BTreeMap<(String, Vec<(String, String)>), f64>;

pub fn decoded(request: &Request) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(&*request.body()).expect("it is of the protocol")
}

pub fn text_of(pair: &KeyValue) -> String {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => panic!("{}: {other:?}", pair.key),
    }
}

fn labels(pairs: &[KeyValue], more: &[(&str, String)]) -> Vec<(String, String)> {
    let given = pairs.iter().map(|pair| (pair.key.clone(), text_of(pair)));
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let mut labels: Vec<_> = given.chain(more).collect();
    labels.sort();
    labels
}

fn add_number(series: &mut Series, name: &str, point: &NumberDataPoint) {
    let value = match point.value.expect("a value") {
        number_data_point::Value::AsInt(value) => value as f64,
        number_data_point::Value::AsDouble(value) => value,
    };
    let twice = series.insert((name.to_owned(), labels(&point.attributes, &[])), value);
    assert_eq!(twice, None, "{name} stands twice");
}

/// As Prometheus writes a histogram.
fn add_histogram(series: &mut Series, name: &str, point: &HistogramDataPoint) {
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    let mut add = |suffix: &str, more: &[(&str, String)], value: f64| {
        let key = (format!("{name}_{suffix}"), labels(&point.attributes, more));
        assert_eq!(series.insert(key, value), None, "{name} stands twice");
    };
    let mut below = 0;
    let bounds = point.explicit_bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(&point.bucket_counts) {
        below += count;
        add("bucket", &[("le", bound)], below as f64);
    }
    assert_eq!(below, point.count);
    add("count", &[], point.count as f64);
    add("sum", &[], point.sum.expect("a sum"));
}

/// The series of what was pushed.
pub fn pushed(metrics: &[Metric]) -> Series {
    let mut series = Series::new();
    for Metric { name, data, .. } in metrics {
        match data.as_ref().expect("points") {
            metric::Data::Gauge(gauge) => {
                gauge.data_points.iter().for_each(|p| add_number(&mut series, name, p));
            }
            metric::Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE, "{name}");
                sum.data_points.iter().for_each(|p| add_number(&mut series, name, p));
            }
            metric::Data::Histogram(histogram) => {
                assert_eq!(histogram.aggregation_temporality, CUMULATIVE, "{name}");
                histogram.data_points.iter().for_each(|p| add_histogram(&mut series, name, p));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    series
}
