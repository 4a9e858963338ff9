//! The plot: every run of every series, with its median, on one logarithmic
//! axis of milliseconds.

use super::stats::Series;
use crate::shell::{Failure, Result};
use plotters::prelude::*;
use std::path::Path;

const ROW: u32 = 42;
const LABELS: i32 = 330;

/// Dark enough for thin marks on white.
const COLOURS: [RGBColor; 5] = [
    RGBColor(31, 82, 160),
    RGBColor(178, 58, 34),
    RGBColor(24, 118, 76),
    RGBColor(120, 62, 148),
    RGBColor(92, 92, 92),
];

pub(crate) fn write(path: &Path, series: &[Series]) -> Result {
    draw(path, series).map_err(|error| Failure::of(path.display(), error))
}

fn draw(path: &Path, series: &[Series]) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let all = || series.iter().flat_map(|one| &one.total_ms).copied();
    let least = all().fold(f64::INFINITY, f64::min) * 0.8;
    let most = all().fold(0.0, f64::max) * 1.25;
    // From a power of ten on, so that the axis has a number at its start.
    let least = 10_f64.powf(least.max(0.01).log10().floor());
    let rows = u32::try_from(series.len())?;
    let height = 90 + ROW * rows;
    let area = SVGBackend::new(path, (1000, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Time to a verified proof, every run", ("sans-serif", 18))
        .margin(12)
        .margin_left(LABELS)
        .x_label_area_size(36)
        .build_cartesian_2d((least..most).log_scale(), 0.0..f64::from(rows))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(12)
        .x_label_formatter(&|ms| format!("{ms}"))
        .x_desc("milliseconds")
        .draw()?;
    for (row, one) in series.iter().enumerate() {
        let middle = f64::from(rows) - row as f64 - 0.5;
        let colour = COLOURS[row % COLOURS.len()];
        // Runs in order from top to bottom of the row: drift shows as a slope.
        let count = one.total_ms.len().max(1) as f64;
        chart.draw_series(one.total_ms.iter().enumerate().map(|(run, ms)| {
            let offset = 0.3 - 0.6 * run as f64 / count;
            Circle::new((*ms, middle + offset), 2, colour.mix(0.6).filled())
        }))?;
        let median = one.median();
        chart.draw_series([PathElement::new(
            [(median, middle - 0.4), (median, middle + 0.4)],
            colour.stroke_width(2),
        )])?;
        let (_, y) = chart.backend_coord(&(median, middle));
        let label = format!("{}  {:.1} ms", one.name, median);
        area.draw(&Text::new(label, (14, y - 7), ("sans-serif", 14)))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_every_series() {
        let path = std::env::temp_dir().join(format!("xtask-plot-{}.svg", std::process::id()));
        let series = [
            Series::new("bare", vec![100.0, 104.0, 99.0]),
            Series::new("delegated", vec![110.0, 108.5, 111.0]),
        ];
        assert!(write(&path, &series).is_ok());
        let svg = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(&path);
        assert!(svg.contains("bare  100.0 ms") && svg.contains("delegated  110.0 ms"));
        assert!(svg.matches("<circle").count() >= 6);
    }
}
