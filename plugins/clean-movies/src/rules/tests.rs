//! One good film, then one thing wrong at a time.

use super::*;

fn shawshank() -> Film<'static> {
    Film {
        title: Some("The Shawshank Redemption"),
        year: Some("1994"),
        rated: Some("R"),
        released: Some("14 Oct 1994"),
        runtime: Some("142 min"),
        genre: Some("Drama"),
        director: Some("Frank Darabont"),
        writer: Some("Stephen King, Frank Darabont"),
        actors: Some("Tim Robbins, Morgan Freeman, Bob Gunton"),
        language: Some("English"),
        country: Some("United States"),
        ratings: Some(JsonRef::from_text(
            r#"[{"Source":"Internet Movie Database","Value":"9.3/10"},{"Source":"Rotten Tomatoes","Value":"89%"},{"Source":"Metacritic","Value":"82/100"}]"#,
        )),
        metascore: Some("82"),
        imdb_rating: Some("9.3"),
        imdb_votes: Some("2,900,000"),
        imdb_id: Some("tt0111161"),
        r#type: Some("movie"),
        box_office: Some("$28,767,189"),
        budget: Some("$25,000,000"),
        worldwide_gross: None,
        response: Some("True"),
    }
}

fn cleaned(film: Film<'static>) -> Row<'static> {
    clean(&Config::default(), film).unwrap()
}

fn rejected(film: Film<'_>) -> String {
    match clean(&Config::default(), film) {
        Err(Refusal::Reject(reason)) => reason,
        other => panic!("expected a rejection, got {other:?}"),
    }
}

#[test]
fn a_whole_film() {
    let expected = Row {
        imdb_id: Some("tt0111161"),
        title: "The Shawshank Redemption",
        year: Some(1994),
        year_end: None,
        rated: Some("R"),
        released: Date::new(1994, 10, 14),
        runtime_min: Some(142),
        genres: vec!["Drama"],
        directors: vec!["Frank Darabont"],
        writers: vec!["Stephen King", "Frank Darabont"],
        actors: vec!["Tim Robbins", "Morgan Freeman", "Bob Gunton"],
        languages: vec!["English"],
        countries: vec!["United States"],
        imdb_rating: Some(9.3),
        imdb_votes: Some(2_900_000),
        metascore: Some(82),
        rotten_tomatoes: Some(89),
        score: Some(88.0),
        box_office_usd: Some(28_767_189),
        budget_usd: Some(25_000_000),
        worldwide_gross_usd: None,
    };
    assert_eq!(cleaned(shawshank()), expected);
}

#[test]
fn all_that_is_missing_is_null() {
    let nothing = Some("N/A");
    let row = cleaned(Film {
        title: Some("A Film"),
        year: nothing,
        released: nothing,
        runtime: Some(""),
        genre: nothing,
        metascore: nothing,
        imdb_votes: nothing,
        box_office: nothing,
        ..Film::default()
    });
    assert_eq!((row.year, row.released, row.runtime_min, row.imdb_votes), (None, None, None, None));
    assert_eq!((row.score, row.imdb_rating, row.metascore, row.box_office_usd), (None, None, None, None));
    assert!(row.genres.is_empty() && row.directors.is_empty());
}

#[test]
fn ratings_stand_in_for_their_own_fields() {
    let row = cleaned(Film { metascore: None, imdb_rating: Some("N/A"), ..shawshank() });
    assert_eq!((row.imdb_rating, row.metascore, row.score), (Some(9.3), Some(82), Some(88.0)));
}

#[test]
fn what_cannot_be_read_is_rejected_by_name() {
    assert_eq!(
        rejected(Film { runtime: Some("two hours"), ..shawshank() }),
        "`Runtime`: expected minutes such as `142 min`, got `two hours`"
    );
    assert_eq!(
        rejected(Film { box_office: Some("£5"), ..shawshank() }),
        "`BoxOffice`: expected whole dollars such as `$28,767,189`, got `£5`"
    );
    assert_eq!(
        rejected(Film { imdb_rating: Some("93"), ..shawshank() }),
        "`imdbRating`: expected a number from 0 to 10, got `93`"
    );
    assert_eq!(rejected(Film { title: Some(" "), ..shawshank() }), "`Title`: expected a title, got nothing");
    assert!(rejected(Film { response: Some("False"), ..shawshank() }).contains("got `False`"));
}

#[test]
fn a_film_may_be_called_like_the_lack_of_one() {
    assert_eq!(cleaned(Film { title: Some("N/A"), ..shawshank() }).title, "N/A");
}

#[test]
fn years_beyond_the_horizon_pass_unless_there_is_one() {
    let late =
        Film { title: Some("Duel in the Sun"), year: Some("2046"), released: Some("31 Dec 2046"), ..shawshank() };
    assert_eq!(cleaned(late).year, Some(2046));

    let config = Config { max_year: Some(2030), ..Config::default() };
    let reason = clean(&config, late).unwrap_err().to_string();
    assert!(reason.contains("`Year`: expected no year after 2030 (`max_year`), got 2046"), "{reason}");
    let reason = clean(&config, Film { year: None, ..late }).unwrap_err().to_string();
    assert!(reason.contains("`Released`: expected no year after 2030"), "{reason}");
    assert!(clean(&config, shawshank()).is_ok());
}

#[test]
fn only_wanted_types_make_rows() {
    let series = Film { r#type: Some("series"), year: Some("1994–2004"), ..shawshank() };
    let refusal = clean(&Config::default(), series).unwrap_err();
    assert_eq!(refusal, Refusal::skip("`Type` is `series`, kept are `movie`"));
    let config = Config { types: vec!["series".to_owned()], ..Config::default() };
    assert_eq!(clean(&config, series).unwrap().year_end, Some(2004));
}
