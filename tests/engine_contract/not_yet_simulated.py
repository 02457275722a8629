"""Where the simulated engine still differs from vLLM, and what it must do instead.

Each test named here is expected to fail on it, strictly: once it passes, its name must go. The list is to be empty.
"""

DIFFERENCES: dict[str, tuple[str, ...]] = {
    'in a chat\'s first chunk `"prompt_token_ids":null,"prompt_text":null` follow the usage; `system_fingerprint` is '
    "the last member of the usage chunk, or of the chunk with the finish reason when no usage was asked for": (
        "test_usage_is_the_last_member_only_of_the_chunks_in_the_middle[simulated]",
        "test_the_fingerprint_is_where_the_usage_is[simulated]",
        "test_completion_chunks_have_the_same_layout_without_the_two_additions[simulated]",
    ),
    "integers are read leniently: decimal strings, whole floats and booleans count as numbers": (
        "test_a_limit_of_another_type_is_read_as_the_number_it_resembles[simulated-7-7]",
        "test_a_limit_of_another_type_is_read_as_the_number_it_resembles[simulated-7.0-7]",
        "test_a_limit_of_another_type_is_read_as_the_number_it_resembles[simulated-True-1]",
        "test_a_number_of_choices_of_another_type_is_read_as_the_number_it_resembles[simulated-2-2]",
        "test_a_number_of_choices_of_another_type_is_read_as_the_number_it_resembles[simulated-True-1]",
        "test_token_ids_count_by_their_number[simulated-prompt2-2-1]",
    ),
    "booleans are read leniently: stream is true for 1 and for the strings true, yes, on, t, y, 1": (
        "test_a_stream_flag_of_another_type_streams[simulated-true]",
        "test_a_stream_flag_of_another_type_streams[simulated-1]",
        "test_a_stream_flag_of_another_type_streams[simulated-yes]",
    ),
    "max_tokens beyond the rest of the window is lowered to it; only beyond the whole window is it refused": (
        "test_a_limit_beyond_the_rest_of_the_window_is_silently_lowered[simulated]",
    ),
    "n choices are n running requests, and their prompt counts n times in vllm:prompt_tokens_total (once in usage)": (
        "test_a_client_that_leaves_a_stream_frees_the_engine_within_a_second[simulated-3]",
        "test_several_choices_count_their_prompt_once_in_usage_but_once_a_choice_in_the_metrics[simulated]",
    ),
    "an aborted stream moves no vllm:request_success_total": (
        "test_an_aborted_stream_is_not_counted_as_a_success[simulated]",
    ),
    "histograms of first token, inter-token, queue and whole latency": (
        "test_the_metrics_that_we_read_are_there_from_the_start[simulated]",
    ),
    'chats always tell `"completion_tokens_details":{"reasoning_tokens":0}`': (
        "test_without_reasoning_the_details_say_zero[simulated]",
    ),
    "include_reasoning false: the reasoning is generated and counted, but neither in the message nor in any chunk": (
        "test_hidden_reasoning_is_counted_all_the_same[simulated]",
    ),
    "the usage of a reranking has prompt_tokens and total_tokens and nothing else": (
        "test_a_reranking_orders_the_documents_and_tells_its_usage[simulated-/rerank]",
        "test_a_reranking_orders_the_documents_and_tells_its_usage[simulated-/v1/rerank]",
        "test_a_reranking_orders_the_documents_and_tells_its_usage[simulated-/v2/rerank]",
    ),
    "echo takes max_tokens 0, answers the prompt, and counts one completion token": (
        "test_echo_with_no_output_costs_one_token_that_nobody_sees[simulated]",
    ),
    "refuse with 400: token ids below 0 or beyond the vocabulary": (
        "test_a_prompt_that_cannot_be_is_refused[simulated-prompt6]",
        "test_a_prompt_that_cannot_be_is_refused[simulated-prompt7]",
        "test_an_input_that_cannot_be_is_refused[simulated-given5]",
        "test_an_input_that_cannot_be_is_refused[simulated-given6]",
    ),
    "refuse with 400: temperature below 0 or above 2 (param temperature), and n above 1 at temperature 0": (
        "test_an_error_has_an_integer_code_that_is_the_status[simulated]",
        "test_several_choices_are_refused_at_temperature_zero[simulated]",
    ),
    "refuse with 400: a content type other than application/json": ("test_another_content_type_is_refused[simulated]",),
    "refuse with 400: a cache_salt that is no non-empty string, a priority that is no integer": (
        "test_a_cache_salt_is_taken_and_must_be_a_non_empty_string[simulated]",
        "test_a_priority_is_taken_and_must_be_an_integer[simulated]",
    ),
    "refuse with 400: tool_choice without tools, tools [], an unknown tool_choice, an unknown response_format": (
        "test_a_choice_without_tools_no_tools_and_an_unknown_choice_are_refused[simulated-members0]",
        "test_a_choice_without_tools_no_tools_and_an_unknown_choice_are_refused[simulated-members1]",
        "test_a_choice_without_tools_no_tools_and_an_unknown_choice_are_refused[simulated-members2]",
        "test_an_unknown_format_is_refused[simulated]",
    ),
}
REASON_OF = {name: reason for reason, names in DIFFERENCES.items() for name in names}
