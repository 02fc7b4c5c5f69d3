//! A plot as SVG text: panels side by side, a logarithmic axis across, a linear one up from zero.

use std::fmt::Write as _;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 260.0;
const COLUMNS: usize = 2;
/// Left, top, right and bottom of a panel's field.
const FIELD: (f64, f64, f64, f64) = (62.0, 34.0, 384.0, 214.0);
const COLOURS: [&str; 2] = ["#1f6feb", "#bc4c00"];

pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) across: &'static str,
    pub(super) series: Vec<Series>,
}

pub(super) struct Series {
    pub(super) title: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// The whole picture.
pub(super) fn draw(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let (x, y) = ((number % COLUMNS) as f64 * WIDTH, (number / COLUMNS) as f64 * HEIGHT);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">\n{}</g>", panel.draw());
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel {
    fn draw(&self) -> String {
        let (left, top, right, bottom) = FIELD;
        let all = || self.series.iter().flat_map(|series| &series.points);
        let first = all().map(|point| point.0).fold(f64::INFINITY, f64::min).max(1.0);
        let last = all().map(|point| point.0).fold(first * 1.01, f64::max);
        let step = round_step(all().map(|point| point.1).fold(0.0, f64::max) / 4.0);
        let most = step * (all().map(|point| point.1).fold(0.0, f64::max) / step).ceil().max(1.0);
        let x_of = |x: f64| left + (right - left) * (x.max(first) / first).ln() / (last / first).ln();
        let y_of = |y: f64| bottom - (bottom - top) * y / most;
        let mut svg = format!("<text x=\"{left}\" y=\"18\" font-weight=\"bold\">{}</text>\n", self.title);
        let mut y = 0.0;
        while y <= most * 1.001 {
            let at = y_of(y);
            let _ = writeln!(svg, "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>");
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                at + 4.0,
                number(y)
            );
            y += step;
        }
        let mut marks: Vec<f64> = all().map(|point| point.0).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        let mut free = 0.0;
        for mark in marks {
            let at = x_of(mark);
            let _ = writeln!(svg, "<path d=\"M{at:.1} {bottom}v4\" stroke=\"#888\"/>");
            if at >= free {
                let _ = writeln!(
                    svg,
                    "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    bottom + 16.0,
                    number(mark)
                );
                free = at + 34.0;
            }
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (left + right) / 2.0,
            bottom + 34.0,
            self.across
        );
        for (number, (series, colour)) in self.series.iter().zip(COLOURS).enumerate() {
            let line: Vec<String> =
                series.points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                line.join(" ")
            );
            for (x, y) in &series.points {
                let _ =
                    writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x_of(*x), y_of(*y));
            }
            let at = right - 90.0 * number as f64;
            let _ = writeln!(
                svg,
                "<text x=\"{at}\" y=\"18\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                series.title
            );
        }
        svg
    }
}

/// 1, 2 or 5 times a power of ten, not below a value.
fn round_step(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= value).unwrap_or(power)
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e4 => format!("{}k", value / 1e3),
        value if value.fract() == 0.0 => format!("{value}"),
        value => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!([0.3, 1.0, 3.0, 7.0, 23.0].map(round_step), [0.5, 1.0, 5.0, 10.0, 50.0]);
    }

    #[test]
    fn every_point_is_drawn_inside_its_panel() {
        let series = Series { title: "a", points: vec![(1.0, 0.0), (10.0, 12.5), (2e6, 25.0)] };
        let svg = draw(&[Panel { title: "t", across: "x", series: vec![series] }]);
        assert_eq!(svg.matches("<circle").count(), 3);
        // The axis ends at the next round step, 30.
        assert!(svg.contains("cx=\"62.0\" cy=\"214.0\"") && svg.contains("cx=\"384.0\" cy=\"64.0\""), "{svg}");
    }
}
