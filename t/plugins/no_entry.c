/* A shared object that is no plugin. */
int weir_test_not_a_plugin(void);

int weir_test_not_a_plugin(void)
{
    return 0;
}
