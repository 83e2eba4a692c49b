//! The line by which rules of thumb go.

/// The least squares of amounts over hours: the mean of either, and the slope, which is no number
/// where there is one point.
pub fn line(points: &[(f64, f64)]) -> (f64, f64, f64) {
    let n = points.len() as f64;
    let x = points.iter().map(|(hours, _)| hours).sum::<f64>() / n;
    let y = points.iter().map(|(_, amount)| amount).sum::<f64>() / n;
    let above: f64 = points.iter().map(|(hours, amount)| (hours - x) * (amount - y)).sum();
    let below: f64 = points.iter().map(|(hours, _)| (hours - x).powi(2)).sum();
    (x, y, above / below)
}
